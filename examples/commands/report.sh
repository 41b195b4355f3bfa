#!/bin/sh
# Called by commands.sql. Parameters arrive as whole arguments, and all of them in the environment.
day=$2
echo "writing the report of $day for $CUCKOO_SCHEDULE"
printf 'day,attempt,rows\n%s,%s,%s\n' "$day" "$CUCKOO_ATTEMPT" "$CUCKOO_PARAM_ROWS" > report.csv
echo "an old setting is still in use" >&2
echo "report.csv: $(wc -l < report.csv) lines"
