"""Requests that schemathesis makes from our own OpenAPI document, with all of its checks, on both databases."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from faults.api_processes import Processes, api_processes
from faults.trial import Figure, Trial
from tests.support.keys import stored_key
from tests.support.trained import RATED_LIGHTLY, fill, train

REPLACED_CHECKS = {
    "positive_data_acceptance": "`valid_is_accepted` of `request_checks.py` knows what a schema cannot say",
    "ignored_auth": "`credentials` tries requests without a valid key, of which many are refused with 429",
    "allow_header_conformance": "`/items/batch` is the address of an item as well, whose methods `Allow` names, too",
}
CASES = re.compile(r"(\d+) generated")
FAILURES = re.compile(r"^- (.+\n\n +.+)$", re.MULTILINE)
N_CASES = 20_000


def run(trial: Trial) -> Iterator[Figure]:
    for kind in ["sqlite"] if trial.size == "test" else ["sqlite", "postgres"]:
        with api_processes(trial, kind, 1) as processes, processes.store() as store:
            fill(store)
            if trial.size != "test":
                train(store, processes.instance.data_dir, recipe=RATED_LIGHTLY)
            exit_code, output = _run_schemathesis(trial, processes, stored_key(store, "admin"))
        n_cases = max(map(int, CASES.findall(output)), default=0)
        failures = sorted({" ".join(each.split())[:300] for each in FAILURES.findall(output)})
        seen = f"{len(failures)} kinds of {n_cases} cases on {kind}"
        if exit_code:
            seen += f": {failures[:8] or output[-1_000:]}"
        is_enough = n_cases >= trial.times(test=100, short=600, long=N_CASES)
        yield Figure("failed checks of generated requests", "0", seen, is_reached=not exit_code and is_enough)


def _run_schemathesis(trial: Trial, processes: Processes, key: str) -> tuple[int, str]:
    command = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if command is None:
        raise FileNotFoundError("schemathesis")
    # The phase `coverage` alone makes some 4,000 cases.
    phases = {"test": "fuzzing", "short": "examples,fuzzing", "long": "examples,coverage,fuzzing,stateful"}[trial.size]
    options = {
        "--header": f"Authorization: Bearer {key}",
        "--max-examples": str(trial.times(test=4, short=12, long=350)),
        "--phases": phases,
        "--seed": str(trial.seed),
        "--checks": "all",
        "--exclude-checks": ",".join(REPLACED_CHECKS),
        "--output-truncate": "true",
    }
    arguments = [part for option in options.items() for part in option]
    ended = subprocess.run(
        [command, "run", f"http://{processes.addresses[0]}/openapi.json", "--continue-on-failure", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=trial.fresh_folder("schemathesis"),
        env=os.environ | {"SCHEMATHESIS_HOOKS": "faults.request_checks", "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    return ended.returncode, ended.stdout + ended.stderr
