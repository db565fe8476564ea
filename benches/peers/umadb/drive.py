"""Clients that append to UmaDB until their time is over: ADDRESS WRITERS EVENTS BYTES SECONDS NAME.

Prints how long it took, and then how long each commit took, in nanoseconds, a line each. Writers are threads of at most PROCESSES
processes, each with a client and a tag of its own.
"""

import multiprocessing
import sys
import threading
import time

import umadb

PROCESSES = 4


def write(address, events, payload, seconds, name, ready, latencies):
    client = umadb.Client("http://" + address)
    commit = [umadb.Event("measured", payload, [f"bench:{name}"])] * events
    ready.wait()
    until = time.monotonic_ns() + int(seconds * 1e9)
    while True:
        begun = time.monotonic_ns()
        if begun >= until:
            return
        client.append(commit)
        latencies.append(time.monotonic_ns() - begun)


def process(writers, arguments, ready, results):
    latencies = [[] for _ in writers]
    threads = [threading.Thread(target=write, args=(*arguments, name, ready, mine)) for name, mine in zip(writers, latencies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put([latency for mine in latencies for latency in mine])


def main():
    address, writers, events, size, seconds, name = sys.argv[1:]
    names = [f"{name}-{writer}" for writer in range(int(writers))]
    parts = [part for part in (names[index::PROCESSES] for index in range(PROCESSES)) if part]
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(len(names) + 1), context.Queue()
    arguments = (address, int(events), b"x" * int(size), float(seconds))
    processes = [context.Process(target=process, args=(part, arguments, ready, results)) for part in parts]
    for started in processes:
        started.start()
    ready.wait(30)
    begun = time.monotonic_ns()
    latencies = [latency for _ in processes for latency in results.get(timeout=float(seconds) + 30)]
    elapsed = time.monotonic_ns() - begun
    for started in processes:
        started.join()
    print("\n".join(str(number) for number in [elapsed, *latencies]))


if __name__ == "__main__":
    main()
