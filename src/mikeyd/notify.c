#include "mikeyd/notify.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"

void notify_ready(const char *text)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=%s", text);
}

void notify_reloading(void)
{
    /* Type=notify-reload wants the moment, on the monotonic clock. */
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_monotonic_us());
}

void notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

uint64_t notify_watchdog_us(void)
{
    uint64_t microseconds = 0;
    return sd_watchdog_enabled(0, &microseconds) > 0 ? microseconds : 0;
}

void notify_alive(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}
