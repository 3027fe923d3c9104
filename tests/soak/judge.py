#!/usr/bin/env python3
"""Samples the processes of daemons each second, and says at the end whether what they use is flat.

The rule. The first fifth of the time is warm-up. Over the rest a line is fitted (least squares); what it rises by from its begin to
its end is the growth.
  memory       anonymous memory (RssAnon) of each process. The replay store and the audit log are files, whose cached pages are no
               memory of the process: RSS with them is drawn, not judged. Growth at most 16 bytes for each exchange served, and
               512 KiB at least. malloc gives no less than 32 bytes, so an exchange that loses anything at all shows in a long run;
               512 KiB is one arena page run more or less, which a short run cannot tell from a leak.
  descriptors  of each process: growth below 1.
  sessions     of each token: growth below 1.
  objects      session objects of each token: growth below 1, or, where they come and go within an exchange, below 1 per thousand.
  latency      median of the last third of what is judged at most three times that of the first third: other work of the machine is
               in it, a queue that grows would be far beyond.
  failures     none.
"""
import argparse
import csv
import pathlib
import sys
import time

COLUMNS_LOAD = ["second", "exchanges", "failures", "p50_us", "p99_us", "sessions", "objects", "signs"]


def processes_of(monitor):
    """Name and pid of each process of a daemon. A keyholder is named by its token, and may be replaced by a successor."""
    found = {"monitor": monitor}
    for pid in map(int, pathlib.Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()):
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"keyholder" in words[0]:
            token = words[words.index(b"--token") + 1].decode() if b"--token" in words else "0"
            found["keyholder" if token == "0" else f"keyholder-{token}"] = pid
        elif b"--front" in words:
            found["front"] = pid
    return found


def look_at(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    of = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith(("VmRSS", "RssAnon"))}
    return {"pid": pid, "rss_kb": int(of["VmRSS"]), "anon_kb": int(of["RssAnon"]), "fds": len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))}


def growth(values):
    """By what a fitted line rises over the samples."""
    n = len(values)
    if n < 2:
        return 0.0
    mean_x, mean_y = (n - 1) / 2, sum(values) / n
    slope = sum((x - mean_x) * (y - mean_y) for x, y in enumerate(values)) / sum((x - mean_x) ** 2 for x in range(n))
    return slope * (n - 1)


def median(values):
    return sorted(values)[len(values) // 2]


def sample(daemons, seconds):
    rows = {name: [] for name in daemons}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, (monitor, _) in daemons.items():
            row = {"time": round(time.monotonic() - end + seconds, 1)}
            try:
                for process, pid in processes_of(monitor).items():
                    row.update({f"{process}_{what}": value for what, value in look_at(pid).items()})
            except (FileNotFoundError, ProcessLookupError):
                continue  # a keyholder went while it was looked at
            rows[name].append(row)
        time.sleep(1)
    return rows


def read_load(path):
    return [dict(zip(COLUMNS_LOAD, map(int, line.split()))) for line in pathlib.Path(path).read_text().splitlines()]


def judge(name, rows, load):
    """Prints the figures; returns what is not flat."""
    rows, load = rows[len(rows) // 5:], load[len(load) // 5:]
    served = sum(one["exchanges"] for one in load)
    hours = len(load) / 3600
    allowed_kb = max(512, 16 * served / 1024)
    bad = []

    def hold(what, value, bound, unit):
        print(f"{name}: {what}: {value:+.1f} {unit} in {hours * 60:.0f} min, {value / hours:+.1f} an hour (bound {bound:.1f})")
        if value > bound:
            bad.append(f"{name}: {what} grows: {value:.1f} {unit}, {bound:.1f} are allowed")

    print(f"{name}: {served} exchanges judged")
    for column in rows[0]:
        if column.endswith("_anon_kb"):
            hold(f"memory of {column[:-8]}", growth([row[column] for row in rows]), allowed_kb, "KiB")
        if column.endswith("_fds"):
            hold(f"descriptors of {column[:-4]}", growth([row[column] for row in rows]), 1, "")
    for what in ("sessions", "objects"):
        hold(what, growth([one[what] for one in load]), 1, "")
    third = max(1, len(load) // 3)
    first, last = (median([one["p50_us"] for one in part if one["exchanges"]] or [0]) for part in (load[:third], load[-third:]))
    print(f"{name}: latency of an exchange: median {first} us at the begin, {last} us at the end; "
          f"p99 {median([one['p99_us'] for one in load])} us")
    if last > 3 * first:
        bad.append(f"{name}: latency grows from {first} us to {last} us")
    if sum(one["failures"] for one in load):
        bad.append(f"{name}: {sum(one['failures'] for one in load)} exchanges failed")
    if not served:
        bad.append(f"{name}: nothing was served")
    return bad


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, required=True)
    options.add_argument("--out", type=pathlib.Path, required=True)
    options.add_argument("daemon", nargs="+", metavar="NAME=PID=FILE", help="its monitor, and what soak-load writes of it")
    given = options.parse_args()
    daemons = {name: (int(pid), path) for name, pid, path in (one.split("=", 2) for one in given.daemon)}
    rows = sample(daemons, given.seconds)
    time.sleep(2)  # soak-load's last lines
    bad = []
    for name, (_, path) in daemons.items():
        load = read_load(path)
        with (given.out / f"{name}.csv").open("w", newline="") as out:
            table = csv.DictWriter(out, ["time", *[c for c in rows[name][0] if c != "time"], *COLUMNS_LOAD[1:]])
            table.writeheader()
            for row, one in zip(rows[name], load):
                table.writerow({**row, **{c: one[c] for c in COLUMNS_LOAD[1:]}})
        bad += judge(name, rows[name], load)
    for one in bad:
        print(f"NOT FLAT: {one}")
    print("flat" if not bad else f"{len(bad)} not flat")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
