// Test programs of the pager. Each prints what it did and returns 0; what is wrong ends the process with a sentence.

#ifndef PAGER_PROGRAMS_H
#define PAGER_PROGRAMS_H

/// What the API says of itself, one case after the other, in `directory`.
int pager_behaviour(const char *directory);

/// What SQLite is not allowed to do, tried with every protection above the VFS taken off.
int pager_refusals(const char *directory);

/// Each single allocation of a small life of a database fails once.
int pager_out_of_memory(const char *directory);

/// Crashes in the middle of checkpoints: writes done, lost, torn or scrambled, then redo.
/// - control: 0; 1: no redo, which must be noticed.
int pager_crashes(const char *directory, unsigned seed, int trials, int control);

/// Three replicas, terms that end at random with entries in flight, readers, checkpoints.
/// - style: 0: many short terms; 1: long terms, long snapshots.
int pager_torture(const char *directory, unsigned seed, int terms, int style);

/// Microseconds per transaction.
int pager_benchmark(const char *directory);

#endif
