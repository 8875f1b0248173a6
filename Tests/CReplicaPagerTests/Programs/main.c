// The test programs as one command: pager-tests PROGRAM [DIRECTORY [SEED [COUNT [VARIANT]]]]

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pager_programs.h"

int main(int count, char **words) {
    const char *program = count > 1 ? words[1] : "";
    const char *directory = count > 2 ? words[2] : "/tmp";
    unsigned seed = count > 3 ? (unsigned)strtoul(words[3], NULL, 10) : 1;
    int repetitions = count > 4 ? atoi(words[4]) : 20;
    int variant = count > 5 ? atoi(words[5]) : 0;
    if (strcmp(program, "behaviour") == 0) return pager_behaviour(directory);
    if (strcmp(program, "refusals") == 0) return pager_refusals(directory);
    if (strcmp(program, "out-of-memory") == 0) return pager_out_of_memory(directory);
    if (strcmp(program, "crashes") == 0) return pager_crashes(directory, seed, repetitions, variant);
    if (strcmp(program, "torture") == 0) return pager_torture(directory, seed, repetitions, variant);
    if (strcmp(program, "benchmark") == 0) return pager_benchmark(directory);
    fprintf(stderr, "usage: pager-tests behaviour|refusals|out-of-memory|crashes|torture|benchmark"
                    " [directory [seed [count [variant]]]]\n");
    return 2;
}
