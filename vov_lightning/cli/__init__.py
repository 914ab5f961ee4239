"""The commands: ``vov-fit``, ``vov-scale``, ``vov-eval``, and, without Lightning, ``vov-decode``, ``vov-edit``,
``vov-info``, ``vov-export``.
"""

import logging
import warnings

# Advice from one dependency to another, which the user of a command cannot act on.
warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
warnings.filterwarnings("ignore", message=".*in eval mode at the start of training")
warnings.filterwarnings("ignore", message=".*does not have many workers")
logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
warnings.filterwarnings("ignore", message=".*LeafSpec")
