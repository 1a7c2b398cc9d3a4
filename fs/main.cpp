// `coffer`, the client. fs/cli reads the command line; fs/vault builds the stations from the bottom up and stops them
// from the top down.
#include "fs/cli/command.h"

int main(int argc, char** argv) { return coffer::cli::run(argc, argv); }
