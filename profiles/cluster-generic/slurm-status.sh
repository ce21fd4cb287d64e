#!/bin/sh
# What became of a job of Slurm's: prints running, success or failed. $1: its id.
state=$(scontrol --oneliner show job "$1" 2>/dev/null | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p')
# the controller forgets a job some minutes after its end (MinJobAge); the accounts, where they are kept, do not
[ -n "$state" ] || state=$(sacct --jobs "$1" --allocations --noheader --parsable2 --format=State 2>/dev/null | sed 's/ .*//')
case "$state" in
    COMPLETED) echo success ;;
    BOOT_FAIL | CANCELLED | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | PREEMPTED | REVOKED | TIMEOUT) echo failed ;;
    *) echo running ;;
esac
