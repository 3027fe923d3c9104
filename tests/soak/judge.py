#!/usr/bin/env python3
"""Samples the processes of daemons each second, and says at the end whether what they use is flat.

The rule. The first fifth of the time is warm-up. Over the rest a line is fitted (least squares); what it rises by from its begin to
its end is the growth.
  memory       anonymous memory (RssAnon) of each process. The replay store and the audit log are files, whose cached pages are no
               memory of the process. Growth at most 16 bytes for each exchange served, and 512 KiB at least. malloc gives no less than
               32 bytes, so a process that loses anything at all in every exchange shows in a long run; 512 KiB is an arena's pages
               more or less, which a short run cannot tell from a leak. A keyholder has the module's memory too,
               and may be replaced when that has grown (src/keyholder/facts.c): each process is judged by itself. SoftHSM takes about
               32 bytes in each C_Sign, of which an exchange has up to 20, until it has 12 MiB, and then no more: with --fills NAME
               the keyholders of that daemon may grow by 40 bytes a call in a run of less than ten minutes.
  descriptors  of each process: growth below 1.
  sessions     of each token: growth below 1.
  objects      session objects of each token: growth below 1.
  latency      median of the last third of what is judged at most ten times that of the first third: the machine's other work is in
               it, and a queue that grows would be far beyond.
  failures     none.
"""
import argparse
import csv
import pathlib
import sys
import time

FILLED_EACH_CALL, CALLS = 40, 20
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


def growth_of_each(rows, process, what):
    """The sum over the processes that had this name one after the other."""
    runs = {}
    for row in rows:
        if row.get(f"{process}_pid"):
            runs.setdefault(row[f"{process}_pid"], []).append(row[f"{process}_{what}"])
    return sum(growth(values) for values in runs.values() if len(values) >= 5)


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


def judge(name, rows, fills):
    """Prints the figures; returns what is not flat."""
    rows = rows[len(rows) // 5:]
    served = sum(row["exchanges"] for row in rows)
    hours = (rows[-1]["time"] - rows[0]["time"]) / 3600
    bad = []

    def hold(what, value, bound, unit=""):
        print(f"{name}: {what}: {value:+.1f}{unit} in {hours * 60:.1f} min, {value / hours:+.1f} an hour (bound {bound:.1f})")
        if value > bound:
            bad.append(f"{name}: {what}: grows by {value:.1f}{unit}, {bound:.1f} are allowed")

    print(f"{name}: {served} exchanges judged")
    for process in sorted({column[:-4] for row in rows for column in row if column.endswith("_pid")}):
        bytes_each = 16 + (FILLED_EACH_CALL * CALLS if fills and hours < 1 / 6 and process.startswith("keyholder") else 0)
        hold(f"memory of {process}", growth_of_each(rows, process, "anon_kb"), max(512, bytes_each * served / 1024), " KiB")
        hold(f"descriptors of {process}", growth_of_each(rows, process, "fds"), 1)
    for what in ("sessions", "objects"):
        hold(what, growth([row[what] for row in rows]), 1)
    third = max(1, len(rows) // 3)
    first, last = (median([row["p50_us"] for row in part if row["exchanges"]] or [0]) for part in (rows[:third], rows[-third:]))
    print(f"{name}: an exchange: median {first} us at the begin, {last} us at the end; p99 {median([row['p99_us'] for row in rows])} us")
    if last > 10 * first:
        bad.append(f"{name}: latency grows from {first} us to {last} us")
    if sum(row["failures"] for row in rows):
        bad.append(f"{name}: {sum(row['failures'] for row in rows)} exchanges failed")
    if not served:
        bad.append(f"{name}: nothing was served")
    return bad


def write_table(path, rows, load):
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="") as out:
        table = csv.DictWriter(out, [*columns, *COLUMNS_LOAD[1:]], restval="")
        table.writeheader()
        for row, one in zip(rows, load):
            table.writerow({**row, **{column: one[column] for column in COLUMNS_LOAD[1:]}})


def read_table(path):
    with path.open(newline="") as table:
        return [{column: float(value) if column == "time" else int(value) for column, value in row.items() if value != ""}
                for row in csv.DictReader(table)]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, help="without it, the tables of an earlier run are judged again")
    options.add_argument("--out", type=pathlib.Path, required=True)
    options.add_argument("--fills", action="append", default=[], metavar="NAME")
    options.add_argument("daemon", nargs="+", metavar="NAME=PID=FILE", help="its monitor, and what soak-load writes of it; or NAME")
    given = options.parse_args()
    names = [one.split("=")[0] for one in given.daemon]
    if given.seconds is not None:
        daemons = {name: (int(pid), path) for name, pid, path in (one.split("=", 2) for one in given.daemon)}
        rows = sample(daemons, given.seconds)
        time.sleep(2)  # soak-load's last lines
        for name in names:
            write_table(given.out / f"{name}.csv", rows[name], read_load(daemons[name][1]))
    bad = []
    for name in names:
        bad += judge(name, read_table(given.out / f"{name}.csv"), name in given.fills)
    for one in bad:
        print(f"NOT FLAT: {one}")
    print("flat" if not bad else f"{len(bad)} not flat")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
