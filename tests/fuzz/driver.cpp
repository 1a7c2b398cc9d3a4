// Runs a fuzzer where libFuzzer is not there: over the files of a folder, and over mutations of them that are the same
// on every run. On a crash the input is left in crash-PROGRAM in the current folder; give that file as the argument to
// run it alone.
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

constexpr unsigned kMutationCount = 4000;
constexpr std::size_t kInputBytesMax = 1u << 18;

// A signal handler has nothing but globals to go by.
const Input* current_input = nullptr;
std::string crash_file;

extern "C" void save_input(int signal_number) {
  if (std::FILE* const file = std::fopen(crash_file.c_str(), "wb")) {
    std::fwrite(current_input->data(), 1, current_input->size(), file);
    std::fclose(file);
    std::fprintf(stderr, "fuzz: the input is in %s\n", crash_file.c_str());
  }
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

void run(const Input& input) {
  current_input = &input;
  // A copy of the exact size, so that the address sanitizer sees a read past its end.
  const Input exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

class Mutator {
 public:
  explicit Mutator(const std::vector<Input>& corpus) : corpus_(corpus) {}

  Input next() {
    Input input = corpus_[below(corpus_.size())];
    for (std::size_t steps = 1 + below(6); steps > 0; --steps) change(input);
    if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
    return input;
  }

 private:
  std::size_t below(std::size_t end) { return static_cast<std::size_t>(engine_() % end); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(engine_()); }
  /// Half of all changes fall into the first bytes, where the fields are.
  std::size_t place(const Input& input) {
    return below(2) == 0 ? below(input.size()) : below(std::min<std::size_t>(input.size(), 64));
  }

  void change(Input& input) {
    if (input.empty()) return insert(input);
    const std::size_t at = place(input);
    switch (below(8)) {
      case 0: input[at] ^= static_cast<std::uint8_t>(1u << below(8)); break;
      case 1: input[at] = byte(); break;
      case 2: overwrite_number(input, at); break;
      case 3: insert(input); break;
      case 4: input.erase(input.begin() + static_cast<std::ptrdiff_t>(at)); break;
      case 5: input.resize(at); break;
      case 6: erase_range(input, at); break;
      default: splice(input, at); break;
    }
  }

  void insert(Input& input) {
    const std::size_t at = below(input.size() + 1);
    input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), 1 + below(16), byte());
  }

  /// Lengths at the edges of their types are where bounds are forgotten.
  void overwrite_number(Input& input, std::size_t at) {
    static constexpr std::uint64_t kNumbers[] = {0,
                                                 1,
                                                 0x7f,
                                                 0x80,
                                                 0xff,
                                                 0x7fff,
                                                 0xffff,
                                                 0x7fffffff,
                                                 0x80000000,
                                                 0xffffffff,
                                                 0x7fffffffffffffff,
                                                 0xffffffffffffffff};
    std::uint64_t number = kNumbers[below(std::size(kNumbers))];
    const std::size_t width = std::size_t{1} << below(4);
    for (std::size_t i = 0; i < width && at + i < input.size(); ++i, number >>= 8) {
      input[at + i] = static_cast<std::uint8_t>(number);
    }
  }

  void erase_range(Input& input, std::size_t at) {
    const std::size_t count = 1 + below(input.size() - at);
    input.erase(input.begin() + static_cast<std::ptrdiff_t>(at),
                input.begin() + static_cast<std::ptrdiff_t>(at + count));
  }

  void splice(Input& input, std::size_t at) {
    const Input& other = corpus_[below(corpus_.size())];
    if (other.empty()) return;
    const std::size_t from = below(other.size());
    input.resize(at);
    input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
  }

  const std::vector<Input>& corpus_;
  std::mt19937_64 engine_{20190417};
};

Input read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(file), {});
}

std::vector<Input> read_corpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // The order in a folder is not the same on every machine.
  std::vector<Input> corpus{Input{}};
  for (const auto& path : paths) corpus.push_back(read_file(path));
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER | FILE\n", argv[0]);
    return 2;
  }
  crash_file = "crash-" + std::filesystem::path(argv[0]).filename().string();
  for (const int signal_number : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL}) std::signal(signal_number, save_input);
  if (std::filesystem::is_regular_file(argv[1])) {
    run(read_file(argv[1]));
    return 0;
  }
  const std::vector<Input> corpus = read_corpus(argv[1]);
  for (const Input& input : corpus) run(input);
  Mutator mutator(corpus);
  for (unsigned i = 0; i < kMutationCount; ++i) run(mutator.next());
  std::printf("%zu inputs and %u mutations of them\n", corpus.size(), kMutationCount);
  return 0;
}
