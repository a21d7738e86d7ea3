"""Print where the results of the finished runs are: report, voice, a spoken sample."""

from pathlib import Path

from voicekiln.store.files import read_json


def main() -> None:
    """One block for each run under results/runs/."""
    for run in sorted(Path("results", "runs").glob("*")):
        voice = read_json(run / "export" / "MANIFEST.json")
        if voice is None:
            continue
        print(f"\n{run.name}")
        print(f"  report  {run / 'report.html'}")
        print(f"  voice   {run / 'export' / voice['checkpoint']}")
        choice = read_json(run / "choice.json")
        if choice is None:
            print(f"  {run / 'choice.json'} is missing: the run is evaluated again, or that failed")
            continue
        for sample in choice["samples"][:1]:
            print(f"  sample  {run / sample['file']}: {sample['text']!r}")
        base, loss = choice["base_validation_loss"], choice["validation_loss"]
        if base and loss:
            print(f"  validation loss {base:.3f} (base) -> {loss:.3f} (update {voice['update']})")


if __name__ == "__main__":
    main()
