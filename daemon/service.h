/* What a service manager is told (sd_notify); nothing where there is none. Any thread. */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

void service_ready(void);
void service_stopping(void);
void service_reloading(void); /* until service_ready says that it is done */
void service_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
