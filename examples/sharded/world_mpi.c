/* SPDX-License-Identifier: Apache-2.0
 * world.h over MPI. MPI ends the program when one of its calls fails, as is its default. */
#include <mpi.h>

#include "world.h"

world world_start(int* argc, char*** argv, int size) {
  world me;
  (void)size; /* mpiexec said it */
  MPI_Init(argc, argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &me.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &me.size);
  return me;
}

void world_finish(void) { MPI_Finalize(); }

void world_sum(double* values, int count) {
  /* Not MPI_Allreduce: MPI advises, but does not promise, that it gives every rank the same bits. */
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Reduce(rank == 0 ? MPI_IN_PLACE : values, values, count, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  MPI_Bcast(values, count, MPI_DOUBLE, 0, MPI_COMM_WORLD);
}

void world_reduce_scatter(const float* all, float* mine, int count) {
  MPI_Reduce_scatter_block(all, mine, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

void world_gather(const void* mine, size_t bytes, void* all) {
  MPI_Allgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, MPI_COMM_WORLD);
}
