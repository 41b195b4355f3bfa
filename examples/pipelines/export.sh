#!/bin/sh
# Called by pipelines.sql, with the month as its argument; parameters of the pipeline stand in the environment.
echo "exporting $1 for ${CUCKOO_PARAM_SHOP:-all shops}"
