// cofferd: the server of Coffer. server/README.md says what it promises.
#include <sys/stat.h>

#include <exception>
#include <iostream>

#include "server/admin/commands.h"

int main(int argc, char** argv) {
  ::umask(077);
  try {
    return coffer::admin::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "cofferd: " << e.what() << "\n";
    return coffer::admin::kExitFailed;
  }
}
