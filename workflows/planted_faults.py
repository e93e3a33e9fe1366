"""How often the analysis is right: plant each fault in real trainings of unseen seeds, and count.

    python workflows/planted_faults.py --seeds 5 --first-seed 1000 --out runs/faults

Each training is one ``deeptracker demo`` without its report. Finished ones are kept in ``--out`` and not run again,
so that the command can be stopped and resumed; the table is made from what is there. The truth is read only here,
after the analysis. A fault counts as found when the *first* event has

* the right time: its onset within two records of the first faulty step, or within one validation interval where
  only validation shows it (no layer in the event);
* the right place: the first layer for dead filters; one of the two flipped classes, as the first class, for a label
  flip.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

from deeptracker.demo import run_demo
from deeptracker.demo.training import VALIDATE_EVERY

RECORDS = 2
FAULTS = ("dead-filters", "bad-batch", "label-flip", "lr-spike", "none")


def judge(truth: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """Right time and right place of the first anomaly; for clean runs, the number of anomalies."""
    anomalies = [event for event in events if event["kind"] == "anomaly"]
    if truth["fault"] == "none":
        return {"alarms": len(anomalies), "found": not anomalies}
    if not anomalies:
        return {"alarms": 0, "found": False, "time": False, "place": False}
    first = anomalies[0]
    allowed = RECORDS if first["layers"] or first["cause"] == "lr-spike" else VALIDATE_EVERY
    on_time = abs(first["iteration"] - truth["iteration"]) <= allowed
    place = True
    if truth["fault"] == "dead-filters":
        place = first["layers"][:1] == list(truth["layers"])
    elif truth["fault"] == "label-flip":
        place = first["classes"][:1] and first["classes"][0] in truth["classes"]
    return {
        "alarms": len(anomalies),
        "found": bool(on_time and place),
        "time": bool(on_time),
        "place": bool(place),
        "delay": first["iteration"] - truth["iteration"],
        "cause": first["cause"],
    }


def one(fault: str, seed: int, out: Path) -> dict[str, Any]:
    """One training, unless its result is there already."""
    result_file = out / f"{fault}-{seed}.json"
    if result_file.exists():
        return dict(json.loads(result_file.read_text()))
    path = out / f"{fault}-{seed}"
    began = time.perf_counter()
    demo = run_demo(fault=fault, seed=seed, out=path, report=False)
    seconds = time.perf_counter() - began
    events = demo.run.event_documents()
    truth = json.loads(demo.truth_path.read_text())
    result = judge(truth, events) | {
        "fault": fault,
        "seed": seed,
        "seconds": round(seconds, 1),
        "validation_error": round(demo.validation_error, 4),
        "truth": truth,
        "first": next((e for e in events if e["kind"] == "anomaly"), None),
    }
    result_file.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(path)  # the result is what is asked for; `deeptracker demo` makes any run anew
    return result


def table(results: list[dict[str, Any]]) -> str:
    """One row a fault, Markdown."""
    lines = [
        "| fault | runs | found by the first event | right time | right place | cause named | extra alarms |"
        " seconds, median (max) | validation error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    expected = {"bad-batch": "bad-batch", "dead-filters": "dead-filters", "label-flip": "label-noise",
                "lr-spike": "lr-spike"}  # fmt: skip
    for fault in FAULTS:
        rows = [r for r in results if r["fault"] == fault]
        if not rows:
            continue
        n = len(rows)
        seconds = sorted(r["seconds"] for r in rows)
        errors = [r["validation_error"] for r in rows]
        if fault == "none":
            quiet = sum(r["alarms"] == 0 for r in rows)
            cells = [f"{quiet} of {n} without any alarm", "", "", "", f"{sum(r['alarms'] for r in rows)}"]
        else:
            cells = [
                f"{sum(r['found'] for r in rows)} of {n}",
                f"{sum(r['time'] for r in rows)}",
                f"{sum(r['place'] for r in rows)}" if fault in ("dead-filters", "label-flip") else "–",
                f"{sum(r.get('cause') == expected[fault] for r in rows)}",
                f"{sum(max(r['alarms'] - 1, 0) for r in rows)}",
            ]
        tail = f"{seconds[n // 2]:.0f} ({seconds[-1]:.0f}) | {100 * min(errors):.1f}–{100 * max(errors):.1f}%"
        lines.append(f"| {fault} | {n} | " + " | ".join(cells) + f" | {tail} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant faults in real trainings and count how often they are found.")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each fault")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--out", type=Path, default=Path("runs/faults"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for fault in options.faults:
            result = one(fault, seed, options.out)
            results.append(result)
            word = "found" if result["found"] else "MISSED" if fault != "none" else "FALSE ALARM"
            if fault == "none" and result["found"]:
                word = "quiet"
            print(f"{fault:13} seed {seed}  {word:11} {result['seconds']:5.1f} s", flush=True)
    print()
    print(table(results))


if __name__ == "__main__":
    main()
