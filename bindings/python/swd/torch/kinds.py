# SPDX-License-Identifier: Apache-2.0
"""Types that several modules here share, for annotations."""
from typing import Any, Callable, Dict, List, Optional

import torch

Groups = List[Dict[str, Any]]           # optimizer.param_groups
Grads = List[Optional[torch.Tensor]]    # one for each member of an engine; None: no gradient this step
Hook = Callable[[torch.Tensor], Any]    # sums a norm record over processes, in place
