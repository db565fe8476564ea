"""Lints, renders and validates a chart with Helm's own code and the schemas of Kubernetes; standard input is JSON, and so is standard output."""

import json
import sys

import helm_python
import kubernetes_validate
import yaml

INFORMATION = 1


def lint(chart, values):
    report = helm_python.lint(chart, values, strict=True)
    found = [message for message in report["messages"] if message["severity"] > INFORMATION]
    return [f"{message['path']}: {message['error']}" for message in found] + report["errors"]


def render(chart, values):
    with helm_python.Chart.load(chart) as loaded:
        files = loaded.render(values, name="shop", namespace="prod")
    texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def validate(version, documents):
    """What does not fit, and the kinds of which there is no schema here."""
    problems, unknown = [], set()
    for document in documents:
        kind = f"{document['apiVersion']}/{document['kind']}"
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            unknown.add(kind)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{kind}: {'/'.join(map(str, error.path))}: {error.message}")
    return {"problems": problems, "unknown": sorted(unknown)}


TASKS = {"lint": lint, "render": render, "validate": validate}

try:
    answer = TASKS[sys.argv[1]](sys.argv[2], json.load(sys.stdin))
except helm_python.HelmError as refused:
    sys.exit(str(refused))
print(json.dumps(answer))
