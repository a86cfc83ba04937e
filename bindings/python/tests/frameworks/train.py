# SPDX-License-Identifier: Apache-2.0
"""What matrix.py starts, on two processes by the page's torchrun line: the cases that SWD_CASES names as MODULE.CASE, each
with a folder of its own in SWD_FOLDER. Rank 0 leaves their numbers in its out.json, joined over ranks by their maximum."""
import importlib
import json
import os
import sys
import warnings

import torch
import torch.distributed as dist

from reference import largest_of
from swd.torch import DecayWarning


sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # ranks.py


def main():
    torch.set_num_threads(1)
    warnings.filterwarnings("error", "AdamS")  # a wrong set-up
    warnings.simplefilter("error", DecayWarning)
    folder, joined = os.environ["SWD_FOLDER"], {}
    for name in os.environ["SWD_CASES"].split():
        module, case = name.split(".")
        os.makedirs(os.path.join(folder, case), exist_ok=True)
        found = getattr(importlib.import_module(module), case)(os.path.join(folder, case))
        everyone = [found]
        if dist.is_initialized():
            everyone = [None] * dist.get_world_size()
            dist.all_gather_object(everyone, found)
        joined[name] = {key: largest_of(one[key] for one in everyone) for key in found}
    if int(os.environ.get("RANK", 0)) == 0:
        with open(os.path.join(folder, "out.json"), "w", encoding="utf-8") as file:
            json.dump(joined, file)
    if dist.is_initialized():
        dist.barrier()
    os._exit(0)  # gloo and FSDP1 leave threads behind


if __name__ == "__main__":
    main()
