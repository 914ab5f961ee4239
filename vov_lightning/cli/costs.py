"""What a base model costs, as ``vov-info --base`` prints it: memory and times on GPUs that people have."""

from jsonargparse import Namespace

from vov_lightning.bases import ClipSize, class_of
from vov_lightning.bases.estimate import GPUS, UTILISATION, Estimate, choose_checkpointing, estimate
from vov_lightning.bases.running import KEEPING
from vov_lightning.cli.common import parse_size
from vov_lightning.errors import SettingError


def costs_of(options: Namespace) -> tuple[Estimate, ClipSize]:
    """Costs of the base model that ``options`` name, and the size they are for.

    Raises:
        SettingError: If ``--size`` is not WIDTHxHEIGHT, or a number is below 1.
        BaseModelError: If the model is unknown or cannot take the size.
    """
    for setting in ("k", "rank", "draws", "steps"):
        if options[setting] < 1:
            raise SettingError(f"--{setting} {options[setting]} is below 1; leave it out for the default")
        if options[setting] >= 2**31:
            raise SettingError(f"--{setting} {options[setting]} is not below 2^31; leave it out for the default")
    base = class_of(options.base).skeleton()
    width, height = base.default_size.width, base.default_size.height
    if options.size is not None:
        width, height = parse_size(options.size)
    frames = base.default_size.frames if options.frames is None else options.frames
    size = ClipSize(frames, height, width)
    return estimate(base, size, options.rank), size


def format_costs(costs: Estimate, size: ClipSize, options: Namespace) -> str:
    """``costs`` as a table to read."""
    weights = costs.weight_bytes
    share = costs.attention_flops / costs.forward_flops
    refused = "; a fit refuses k above D" if options.k > costs.num_entries else ""
    rows = [
        ("clip", f"{size.frames} frames of {size.width}x{size.height}, {costs.latent_entries} latents"),
        ("transformer", f"{si(costs.parameters)} parameters, {costs.tokens} tokens"),
        ("adapter", f"{costs.adapted_layers} layers, rank {options.rank}: D = {costs.num_entries} entries"),
        ("sharing", f"D / k = {costs.num_entries / options.k:.2f} with k = {options.k}{refused}"),
        ("evaluation", f"{si(costs.forward_flops)}FLOP, {share:.0%} of it attention"),
        ("draw", f"{si(costs.draw_flops)}FLOP, forward and backward"),
        ("fit", f"{si(costs.draw_flops * options.draws)}FLOP for {options.draws} draws"),
        ("memory", f"{si(weights)}B weights, and for a draw under --model.base.checkpointing"),
    ]
    for keeping in KEEPING:
        activations, flops = costs.draw(keeping)
        rows.append(("", f"{keeping:<10} {si(activations)}B, {si(flops)}FLOP"))
    lines = [f"{name:<12} {value}" for name, value in rows]
    decode = f"decode, {options.steps} steps"
    lines += ["", f"{'GPU':<16}{'checkpointing':<20}{'a draw':>10}{'a fit':>10}{decode:>18}"]
    for name, (flops, gigabytes) in GPUS.items():
        room = gigabytes * 1e9 - weights
        keeping = choose_checkpointing(room, costs, 1)
        activations, draw_flops = costs.draw(keeping)
        fits = keeping if activations <= room else "does not fit"
        draw_s, evaluation_s = draw_flops / (UTILISATION * flops), costs.forward_flops / (UTILISATION * flops)
        seconds = draw_s, draw_s * options.draws, evaluation_s * options.steps
        times = ["-" if activations > room else duration(time) for time in seconds]
        lines.append(f"{name:<16}{fits:<20}{times[0]:>10}{times[1]:>10}{times[2]:>18}")
    lines.append(
        f"A model, not a measurement: times assume {UTILISATION:.0%} of the peak; the autoencoder is not counted."
    )
    return "\n".join(lines)


def si(value: float) -> str:
    """``value`` to three digits with a prefix, to put a unit behind.

    Example:
        >>> si(1.419e9), si(42.0)
        ('1.42 G', '42 ')
    """
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 999.5:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:.3g} E"


def duration(seconds: float) -> str:
    """``seconds`` in the unit that suits them.

    Example:
        >>> duration(0.0041), duration(93.2), duration(280800)
        ('4.1 ms', '93.2 s', '78.0 h')
        >>> duration(2.06e-5)
        '20.6 us'
    """
    if seconds < 1e-3:
        return f"{1e6 * seconds:.3g} us"
    if seconds < 1:
        return f"{1000 * seconds:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"
