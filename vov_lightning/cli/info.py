"""``vov-info``: what is in a .vov file, what a base model costs, or whether one keeps its contract, in words."""

import json

from vov_lightning.bitstream import Limits, VovFile, describe, format_description
from vov_lightning.cli.common import command
from vov_lightning.cli.parser import command_parser
from vov_lightning.cli.settings import INFO
from vov_lightning.errors import BaseModelError, BitstreamError, SettingError


@command
def main(args: list[str] | None = None) -> None:
    parser = command_parser(INFO)
    parser.add_argument("file", type=str | None, nargs="?", default=None, help=INFO.text_of("file"))
    parser.add_argument("--json", action="store_true", help=INFO.text_of("--json"))
    parser.add_argument("--base", type=str | None, default=None, help=INFO.text_of("--base"))
    parser.add_argument("--check", type=str | None, default=None, help=INFO.text_of("--check"))
    parser.add_argument("--size", type=str | None, default=None, help=INFO.text_of("--size"))
    parser.add_argument("--frames", type=int | None, default=None, help=INFO.text_of("--frames"))
    for name, default in (("k", 131072), ("rank", 1), ("draws", 128000), ("steps", 25)):
        parser.add_argument(f"--{name}", type=int, default=default, help=INFO.text_of(f"--{name}"))
    parser.add_class_arguments(Limits, "limits")
    options = parser.instantiate(parser.parse_args(args))
    if sum(given is not None for given in (options.file, options.base, options.check)) != 1:
        raise SettingError("give a .vov file, or --base or --check with the name of a base model")
    if options.check is not None:
        check_base_class(options.check)
        return
    if options.base is not None:
        from vov_lightning.cli.costs import costs_of, format_costs  # torch, which a file is shown without

        costs, size = costs_of(options)
        print(json.dumps(vars(costs), indent=2) if options.json else format_costs(costs, size, options))
        return
    file = VovFile.open(options.file, options.limits, strict=False)
    description = describe(file)
    print(json.dumps(description, indent=2) if options.json else format_description(description))
    if file.damage:
        raise BitstreamError(f"{options.file}: {'; '.join(file.damage)}")


def check_base_class(name: str) -> None:
    """Try the contract of a base model on its stand-in, and print a line for every promise.

    Raises:
        BaseModelError: If one is broken.
    """
    import torch

    from vov_lightning.bases import class_of
    from vov_lightning.bases.contract import check_contract

    with torch.random.fork_rng():
        torch.manual_seed(0)
        findings = check_contract(class_of(name).stand_in())
    for finding in findings:
        print(f"{'FAILS' if finding.problem else 'ok':<6}{finding.promise}")
        if finding.problem:
            print(f"      {finding.problem}")
    broken = sum(bool(finding.problem) for finding in findings)
    if broken:
        raise BaseModelError(
            f"{name} breaks {broken} of {len(findings)} promises; docs/new-base-model.md explains them"
        )
