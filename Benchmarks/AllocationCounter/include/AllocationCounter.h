#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdint.h>

/// How often this process has asked for memory since it began: malloc, calloc, realloc and their aligned kin, whoever
/// called them. Programs that link this target have theirs replaced. Linux with glibc only; elsewhere it is always 0.
uint64_t allocation_count(void);

#endif
