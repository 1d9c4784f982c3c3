/* The subcommands of forecast: each takes its own name in argv[0] and returns what to exit with
 * (0 done, 1 failed, 2 used wrongly). */
#ifndef FORECAST_COMMANDS_H
#define FORECAST_COMMANDS_H

int command_feed(int argc, char **argv);
int command_watch(int argc, char **argv);
int command_ctl(int argc, char **argv);
int command_model(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_backtest(int argc, char **argv);
int command_train(int argc, char **argv);

#endif
