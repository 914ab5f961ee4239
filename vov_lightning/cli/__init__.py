"""The commands: ``vov-fit``, ``vov-decode``, ``vov-info``; ``vov-decode`` and ``vov-info`` import no Lightning."""
