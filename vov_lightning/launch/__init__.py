"""Engines that share a set among processes and machines: Ray, and SLURM through submitit. They know no Lightning."""
