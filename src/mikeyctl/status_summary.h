/* The daemon's report as a page for whoever is called at night: what is wrong first. */
#ifndef MIKEYCTL_STATUS_SUMMARY_H
#define MIKEYCTL_STATUS_SUMMARY_H

#include <jansson.h>
#include <stdio.h>

/* report: the object that mikeyd_client_status() gives, with or without checks. Members that are
 * not there print as "-" or 0. */
void status_summary_print(const json_t *report, FILE *out);

#endif
