# SPDX-License-Identifier: Apache-2.0
"""Types that several modules here share, for annotations."""
from typing import Any, Callable, Tuple, Union

import jax
import numpy as np
import numpy.typing as npt

Tree = Any                                # a pytree, as users nest their parameters
Schedule = Callable[[Any], Any]           # a learning rate, of the count of steps
Rate = Union[float, jax.Array, npt.NDArray[Any], Schedule]
Bytes = npt.NDArray[np.uint8]
Counters = Tuple[jax.Array, ...]          # of the classes of leaves, uint8
