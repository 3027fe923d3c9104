/* What systemd is told (sd_notify(3)). Without NOTIFY_SOCKET all of it does nothing. */
#ifndef MIKEYD_NOTIFY_H
#define MIKEYD_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

void notify_ready(const char *text);
void notify_reloading(void);
void notify_stopping(void);
/* Microseconds between two signs of life that systemd expects; 0: none. */
uint64_t notify_watchdog_us(void);
void notify_alive(void);

#endif
