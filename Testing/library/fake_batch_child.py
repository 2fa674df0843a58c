"""Stands for the command line's batch where a test is about the scene: takes the real arguments, says and writes what
the real one does.

A patient's ID says how it goes: "bad..." fails. ``CHMFL_FAKE`` in the environment: done (default), hang (at the second
patient, after its risk), no_model, memory (at the second patient), too_early (stops before it writes a table).
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "CHMFLPredictor"))
from CHMFLPredictorLib.errors import BadInput
from CHMFLPredictorLib.predict.batch import RESULTS_FILE, error_cells, read_rows, results_csv


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    for name in ("batch", "output", "progress", "device", "model"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--risk-only", action="store_true")
    options, manner = parser.parse_args(), os.environ.get("CHMFL_FAKE", "done")
    assert options.progress == "json" and options.device
    if manner == "no_model":
        say("error", code="model_missing", message="There is no model.", hint="Choose one.", exit_code=5)
        sys.exit(5)
    rows, output, cells, failed = read_rows(options.batch), Path(options.output), [], 0
    if manner == "too_early":
        time.sleep(60)
    output.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        who = {"patient_id": row.patient_id, "patient": number + 1, "patients": len(rows)}
        say("progress", stage="read", fraction=0.1, text="Reading", **who)
        inputs = row.inputs()
        if row.patient_id.startswith("bad"):
            error = BadInput("not_found", f"'{Path(inputs.pet).name}' does not exist.", "Check it.")
            cells.append({"patient_id": row.patient_id, **error_cells(error)})
            say("warning", code=error.code, text=f"{row.patient_id}: {error}", **who)
            failed += 1
        else:
            say("risk", risk=0.7, risk_interval=[0.5, 0.9], threshold=0.5, label="high", baseline_risk=0.6, **who)
            if manner == "hang" and number == 1:
                time.sleep(60)
            if manner == "memory" and number == 1:
                sys.exit(4)
            known = {"risk": 0.7, "risk_low": 0.5, "risk_high": 0.9, "label": "high", "threshold": 0.5}
            tumor = {} if options.risk_only else {"volume_ml": 12.5, "suv_max": 9.0, "tlg": 50.0}
            cells.append({"patient_id": row.patient_id, "status": "done", **known, **tumor})
            say("result", output=str(output / row.folder), files={}, result={}, **who)
        (output / f"{RESULTS_FILE}.part").write_bytes(results_csv(cells))
        os.replace(output / f"{RESULTS_FILE}.part", output / RESULTS_FILE)
    files = {RESULTS_FILE: str(output / RESULTS_FILE)}
    say("result", output=str(output), files=files, done=len(rows) - failed, failed=failed, skipped=0)
    sys.exit(2 if failed == len(rows) else 0)


if __name__ == "__main__":
    main()
