"""Print where the results of the finished runs are: report, voice, a spoken sample."""

import json
from pathlib import Path


def main() -> None:
    """One block for each run under results/runs/."""
    for run in sorted(Path("results", "runs").glob("*")):
        manifest = run / "export" / "MANIFEST.json"
        if not manifest.is_file():
            continue
        voice = json.loads(manifest.read_text())
        choice = json.loads((run / "choice.json").read_text())
        print(f"\n{run.name}")
        print(f"  report  {run / 'report.html'}")
        print(f"  voice   {run / 'export' / voice['checkpoint']}")
        for sample in choice["samples"][:1]:
            print(f"  sample  {run / sample['file']}: {sample['text']!r}")
        base, loss = choice["base_validation_loss"], choice["validation_loss"]
        if base and loss:
            print(f"  validation loss {base:.3f} (base) -> {loss:.3f} (update {voice['update']})")


if __name__ == "__main__":
    main()
