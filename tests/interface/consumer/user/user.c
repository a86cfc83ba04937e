/* SPDX-License-Identifier: Apache-2.0
 * Calls the library of tests/interface/consumer/parent, in which the quickstart's main has this name. */
int train(void);
int main(void) { return train(); }
