#!/bin/bash
# Each fuzzing target for 20 seconds; tests/fuzz/run tells of them, and runs them for longer.
exec "$(dirname "$0")/../fuzz/run" 20
