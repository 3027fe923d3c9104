/* Session keys pass through buffers of libevent: memory that is wiped when it is given back, and
 * not written to swap where the process may lock it. */
#ifndef GATE_MEMORY_H
#define GATE_MEMORY_H

/* Before the first use of libevent. */
void memory_protect(void);

#endif
