/* SPDX-License-Identifier: Apache-2.0
 * world.h over fork and shared memory: ranks on one machine, nothing to install. Each collective is: write to my slot,
 * wait for all, read the slots in rank order (so that all get the same bits), wait for all. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

enum { kSlotBytes = 1 << 20 };

typedef struct shared {
  pthread_barrier_t barrier;
  _Alignas(64) unsigned char slots[]; /* kSlotBytes each */
} shared;

static world me;
static shared* common;

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void* slot(int rank) { return common->slots + (size_t)rank * kSlotBytes; }

static void publish(const void* mine, size_t bytes) {
  if (bytes > kSlotBytes) {
    fprintf(stderr, "world_fork: %zu bytes do not fit into a slot\n", bytes);
    exit(1);
  }
  memcpy(slot(me.rank), mine, bytes);
  pthread_barrier_wait(&common->barrier);
}

/* The first process only waits. If a rank fails it stops the others, which would wait at the barrier for ever. */
static void wait_for(const pid_t* ranks, int size) {
  int failed = 0, status;
  for (int left = size; left > 0; --left) {
    if (wait(&status) < 0) die("wait");
    if (status != 0 && !failed) {
      failed = 1;
      for (int r = 0; r < size; ++r) kill(ranks[r], SIGKILL);
    }
  }
  exit(failed);
}

world world_start(int* argc, char*** argv, int size) {
  (void)argc, (void)argv;
  if (size < 1 || size > 64) {
    fprintf(stderr, "world_fork: 1 to 64 ranks\n");
    exit(2);
  }
  common =
      mmap(NULL, sizeof(shared) + (size_t)size * kSlotBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (common == MAP_FAILED) die("mmap");
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (pthread_barrier_init(&common->barrier, &attributes, (unsigned)size) != 0) die("pthread_barrier_init");
  pid_t ranks[64];
  for (int r = 0; r < size; ++r) {
    ranks[r] = fork();
    if (ranks[r] < 0) die("fork");
    if (ranks[r] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL); /* no rank outlives the first process */
      me.rank = r;
      me.size = size;
      return me;
    }
  }
  wait_for(ranks, size);
  return me;
}

void world_finish(void) {}

void world_sum(double* values, int count) {
  publish(values, (size_t)count * sizeof *values);
  for (int i = 0; i < count; ++i) {
    values[i] = 0.0;
    for (int r = 0; r < me.size; ++r) values[i] += ((double*)slot(r))[i];
  }
  pthread_barrier_wait(&common->barrier);
}

void world_reduce_scatter(const float* all, float* mine, int count) {
  publish(all, (size_t)count * (size_t)me.size * sizeof *all);
  for (int i = 0; i < count; ++i) {
    mine[i] = 0.0f;
    for (int r = 0; r < me.size; ++r) mine[i] += ((float*)slot(r))[me.rank * count + i];
  }
  pthread_barrier_wait(&common->barrier);
}

void world_gather(const void* mine, size_t bytes, void* all) {
  publish(mine, bytes);
  for (int r = 0; r < me.size; ++r) memcpy((unsigned char*)all + (size_t)r * bytes, slot(r), bytes);
  pthread_barrier_wait(&common->barrier);
}
