/* SPDX-License-Identifier: Apache-2.0
 * The collectives that sharded training needs, once over fork and shared memory (world_fork.c), once over MPI
 * (world_mpi.c). Used by shard.c and main.c. A failure ends the program: there is nothing to train on with. */
#ifndef SWD_EXAMPLE_WORLD_H
#define SWD_EXAMPLE_WORLD_H
#include <stddef.h>

typedef struct world {
  int rank, size;
} world;

/* Starts the ranks and returns in each of them. `size`: how many (MPI: as many as mpiexec started). */
world world_start(int* argc, char*** argv, int size);
void world_finish(void);

/* All-reduce by sum, in place. Every rank gets the same bits. */
void world_sum(double* values, int count);
/* Rank r gets the sum over ranks of all[r * count .. (r + 1) * count - 1]. */
void world_reduce_scatter(const float* all, float* mine, int count);
/* all = the `bytes` bytes of rank 0, then those of rank 1, ... */
void world_gather(const void* mine, size_t bytes, void* all);

#endif
