/*
 * Standard input, output and error of a program that people read: never closed descriptors that a
 * file of ours could get, nothing unseen on a terminal, and no output that is lost without a word.
 */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include "base/error.h"

/*
 * Before anything is opened. Descriptors 0 to 2 that are closed are given to /dev/null, in a way
 * that using them fails: a log opened later would get the number, and what is meant for a terminal
 * would be written into it.
 */
void output_hold_descriptors(void);
/* stdout and stderr of the C library pass through base/visible.h from here on; newlines and tabs
 * stay. What goes to the descriptor itself does not. */
void output_make_visible(void);
/* For what was written to the descriptor itself: the error number of a failed write to stdout. */
void output_failed(int reason);
/*
 * At the end of a program: INTERNAL with the reason unless all that was written to stdout went out.
 */
enum mikeyd_status output_finish(struct error *err);

#endif
