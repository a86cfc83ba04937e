# SPDX-License-Identifier: Apache-2.0
"""Prints one table of what bench_step measured, then `metric name value` lines. Called by scripts/bench.sh.

    report.py STEP.json [PEERS.json ...]"""
import sys

import results


def print_table(found):
    print(f"{'':<52}{'elements':>11} {'median us':>12} {'5 .. 95 %':>25} {'state':>6} {'moved':>6} {'GB/s':>8} "
          f"{'roof':>8} {'ratio':>6} {'of peak':>8}   state, moved: bytes a parameter")
    for row in found.rows:
        if row.error:
            print(f"{row.label:<52}{row.elements:>11} not run: {row.error}")
            continue
        spread = f"{row['p05_us']:.1f} .. {row['p95_us']:.1f}"
        line = (f"{row.label:<52}{row.elements:>11} {row['median_us']:>12.1f} {spread:>25} "
                f"{row['state_bytes_per_param']:>6.2f} {row['bytes_per_param']:>6.2f} {row['GB_per_s']:>8.1f}")
        if "ratio_to_roof" in row.counters:
            line += f" {row['roof_GB_per_s']:>8.1f} {row['ratio_to_roof']:>6.2f}"
        if "share_of_peak" in row.counters:
            line += f" {row['share_of_peak']:>8.3f}"
        if "time_over_fp32" in row.counters:
            line += f"   {row['time_over_fp32']:.2f} times the time of fp32 states"
        for dead in ("stale_over_live", "untouched_over_live"):
            if dead in row.counters:
                line += f"   {row[dead]:.2f} times the cost of live rows"
        print(line)


def metrics(found):
    """(name, value) of what is there."""
    backend = found.context["backend"]
    ratio = "ratio_to_roof"
    quoted = results.QUOTED[backend]
    other = 1 << 30 if quoted == results.BASE else results.BASE
    wanted = [(f"{part}_ratio_to_stream", part, quoted, {}, ratio) for part in ("step", "update", "norm")]
    wanted += [(f"step_ratio_to_stream_2p{other.bit_length() - 1}", "step", other, {}, ratio)]
    wanted += [(f"step_ratio_to_stream_{g}", "step", results.BASE, {"grad": g}, ratio) for g in ("bf16", "f16")]
    wanted += [("step_share_of_peak", "step", quoted, {}, "share_of_peak"),
               ("step_us_at_1000", "step", 1000, {}, "median_us"),
               ("step_host_us_at_1000", "step", 1000, {}, "host_us"),
               ("stale_over_live", "stale", 1 << 18 if backend == "cpu" else results.BASE, {}, "stale_over_live"),
               ("untouched_over_live", "untouched", results.BASE, {}, "untouched_over_live")]
    for preset in ("master16", "mixed16", "compact8", "tiny8"):
        changed = {"grad": "bf16", "states": preset}
        wanted += [(f"step_ratio_to_stream_{preset}", "step", results.BASE, changed, ratio),
                   (f"step_time_over_fp32_{preset}", "step", results.BASE, changed, "time_over_fp32")]
    for name, part, elements, changed, counter in wanted:
        row = found.find(part, elements, **changed)
        if row and counter in row.counters:
            yield f"{backend}_{name}", row[counter]
    for name, peer in (("step_vs_torch_adamw_clip", "torch_adamw_fused_clip"),
                       ("step_vs_reference_adams", "eager_adams_clip"),
                       ("update_vs_bitsandbytes_8bit", "bitsandbytes_adamw8bit_bf16"),
                       ("update_vs_torchao_8bit", "torchao_adamw8bit_bf16"),
                       ("update_vs_deepspeed_cpu_adam", "deepspeed_cpu_adam"),
                       ("step_vs_torch_adamw_scaler_clip", "torch_adamw_fused_scaler_clip")):
        row = found.peer(peer)
        if row:
            yield f"{backend}_{name}", row["ratio"]


def main():
    found = results.read(sys.argv[1], sys.argv[2:])
    print_table(found)
    for name, value in metrics(found):
        print(f"metric {name} {value:.3f}")


if __name__ == "__main__":
    main()
