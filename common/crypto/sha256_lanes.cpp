#include "common/crypto/sha256_lanes.h"

#include "common/base/check.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace coffer::crypto {

#ifdef __x86_64__

namespace {

#define COFFER_LANES __attribute__((target("avx512f,avx512bw,avx512vl")))
#define COFFER_IN_LANES __attribute__((target("avx512f,avx512bw,avx512vl"), always_inline)) static inline

// FIPS 180-4, section 4.2.2.
constexpr std::array<std::uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The truth tables of vpternlog: a ^ b ^ c; b where a is set, else c; what two of three say.
constexpr int kXor = 0x96;
constexpr int kChoose = 0xca;
constexpr int kMajority = 0xe8;

COFFER_IN_LANES __m128i quarter(const std::byte* at) {
  // The words are big-endian.
  const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)), order);
}

/// One lane for each 32 bits of a 512-bit register.
struct Sixteen {
  using Word = __m512i;
  COFFER_IN_LANES Word load(const std::uint32_t* from) { return _mm512_load_si512(from); }
  COFFER_IN_LANES void store(std::uint32_t* into, Word word) { _mm512_store_si512(into, word); }
  COFFER_IN_LANES Word all(std::uint32_t word) { return _mm512_set1_epi32(static_cast<int>(word)); }
  COFFER_IN_LANES Word add(Word a, Word b) { return _mm512_add_epi32(a, b); }
  template <int kBits>
  COFFER_IN_LANES Word turn(Word a) {
    return _mm512_ror_epi32(a, kBits);
  }
  template <int kBits>
  COFFER_IN_LANES Word shift(Word a) {
    return _mm512_srli_epi32(a, kBits);
  }
  template <int kTable>
  COFFER_IN_LANES Word logic(Word a, Word b, Word c) {
    return _mm512_ternarylogic_epi32(a, b, c, kTable);
  }
  /// 16 bytes of the lanes `lane`, `lane` + 4, + 8 and + 12.
  COFFER_IN_LANES Word gather(const std::byte* const* data, std::size_t lane, std::size_t at) {
    Word word = _mm512_castsi128_si512(quarter(data[lane] + at));
    word = _mm512_inserti32x4(word, quarter(data[lane + 4] + at), 1);
    word = _mm512_inserti32x4(word, quarter(data[lane + 8] + at), 2);
    return _mm512_inserti32x4(word, quarter(data[lane + 12] + at), 3);
  }
  /// Rows of four words become columns of four words.
  COFFER_IN_LANES void transpose(const Word (&rows)[4], Word* columns) {
    const Word low01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
    const Word high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
    const Word low23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
    const Word high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
    columns[0] = _mm512_unpacklo_epi64(low01, low23);
    columns[1] = _mm512_unpackhi_epi64(low01, low23);
    columns[2] = _mm512_unpacklo_epi64(high01, high23);
    columns[3] = _mm512_unpackhi_epi64(high01, high23);
  }
};

/// The same in 256 bits: with fewer lanes in use, these cost less.
struct Eight {
  using Word = __m256i;
  COFFER_IN_LANES Word load(const std::uint32_t* from) {
    return _mm256_load_si256(reinterpret_cast<const Word*>(from));
  }
  COFFER_IN_LANES void store(std::uint32_t* into, Word word) {
    _mm256_store_si256(reinterpret_cast<Word*>(into), word);
  }
  COFFER_IN_LANES Word all(std::uint32_t word) { return _mm256_set1_epi32(static_cast<int>(word)); }
  COFFER_IN_LANES Word add(Word a, Word b) { return _mm256_add_epi32(a, b); }
  template <int kBits>
  COFFER_IN_LANES Word turn(Word a) {
    return _mm256_ror_epi32(a, kBits);
  }
  template <int kBits>
  COFFER_IN_LANES Word shift(Word a) {
    return _mm256_srli_epi32(a, kBits);
  }
  template <int kTable>
  COFFER_IN_LANES Word logic(Word a, Word b, Word c) {
    return _mm256_ternarylogic_epi32(a, b, c, kTable);
  }
  /// 16 bytes of the lanes `lane` and `lane` + 4.
  COFFER_IN_LANES Word gather(const std::byte* const* data, std::size_t lane, std::size_t at) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(quarter(data[lane] + at)), quarter(data[lane + 4] + at), 1);
  }
  COFFER_IN_LANES void transpose(const Word (&rows)[4], Word* columns) {
    const Word low01 = _mm256_unpacklo_epi32(rows[0], rows[1]);
    const Word high01 = _mm256_unpackhi_epi32(rows[0], rows[1]);
    const Word low23 = _mm256_unpacklo_epi32(rows[2], rows[3]);
    const Word high23 = _mm256_unpackhi_epi32(rows[2], rows[3]);
    columns[0] = _mm256_unpacklo_epi64(low01, low23);
    columns[1] = _mm256_unpackhi_epi64(low01, low23);
    columns[2] = _mm256_unpacklo_epi64(high01, high23);
    columns[3] = _mm256_unpackhi_epi64(high01, high23);
  }
};

/// The sixteen words of each lane's block at `at`.
template <class L>
COFFER_IN_LANES void read_block(const std::byte* const* data, std::size_t at, typename L::Word* words) {
  for (std::size_t i = 0; i < 4; ++i) {
    const typename L::Word rows[4] = {L::gather(data, 0, at + 16 * i), L::gather(data, 1, at + 16 * i),
                                      L::gather(data, 2, at + 16 * i), L::gather(data, 3, at + 16 * i)};
    L::transpose(rows, words + 4 * i);
  }
}

template <class L>
COFFER_IN_LANES typename L::Word next_word(typename L::Word w16, typename L::Word w15, typename L::Word w7,
                                           typename L::Word w2) {
  const auto s0 =
      L::template logic<kXor>(L::template turn<7>(w15), L::template turn<18>(w15), L::template shift<3>(w15));
  const auto s1 =
      L::template logic<kXor>(L::template turn<17>(w2), L::template turn<19>(w2), L::template shift<10>(w2));
  return L::add(L::add(w16, w7), L::add(s0, s1));
}

/// Step kStep of 16; the words a … h move on by one place with each step.
template <class L, std::size_t kStep>
COFFER_IN_LANES void step(typename L::Word (&v)[8], typename L::Word (&w)[16], const std::uint32_t* round, bool more) {
  using Word = typename L::Word;
  constexpr auto kPlace = [](std::size_t letter) { return (letter + 16 - kStep) % 8; };
  const Word a = v[kPlace(0)], b = v[kPlace(1)], c = v[kPlace(2)];
  const Word e = v[kPlace(4)], f = v[kPlace(5)], g = v[kPlace(6)];
  const Word s1 = L::template logic<kXor>(L::template turn<6>(e), L::template turn<11>(e), L::template turn<25>(e));
  const Word s0 = L::template logic<kXor>(L::template turn<2>(a), L::template turn<13>(a), L::template turn<22>(a));
  const Word t1 = L::add(L::add(v[kPlace(7)], L::add(w[kStep], L::all(round[kStep]))),
                         L::add(L::template logic<kChoose>(e, f, g), s1));
  v[kPlace(3)] = L::add(v[kPlace(3)], t1);
  v[kPlace(7)] = L::add(t1, L::add(L::template logic<kMajority>(a, b, c), s0));
  if (more) w[kStep] = next_word<L>(w[kStep], w[(kStep + 1) % 16], w[(kStep + 9) % 16], w[(kStep + 14) % 16]);
}

template <class L>
COFFER_IN_LANES void compress_lanes(Sha256Lanes& lanes, std::size_t block_count) {
  using Word = typename L::Word;
  Word state[8];
  for (std::size_t i = 0; i < 8; ++i) state[i] = L::load(lanes.words[i].data());
  for (std::size_t block = 0; block < block_count; ++block) {
    Word w[16];
    read_block<L>(lanes.data.data(), block * kSha256BlockBytes, w);
    Word v[8];
    for (std::size_t i = 0; i < 8; ++i) v[i] = state[i];
    for (std::size_t round = 0; round < kRound.size(); round += 16) {
      const std::uint32_t* const k = kRound.data() + round;
      const bool more = round + 16 < kRound.size();
      step<L, 0>(v, w, k, more), step<L, 1>(v, w, k, more), step<L, 2>(v, w, k, more), step<L, 3>(v, w, k, more);
      step<L, 4>(v, w, k, more), step<L, 5>(v, w, k, more), step<L, 6>(v, w, k, more), step<L, 7>(v, w, k, more);
      step<L, 8>(v, w, k, more), step<L, 9>(v, w, k, more), step<L, 10>(v, w, k, more), step<L, 11>(v, w, k, more);
      step<L, 12>(v, w, k, more), step<L, 13>(v, w, k, more), step<L, 14>(v, w, k, more), step<L, 15>(v, w, k, more);
    }
    for (std::size_t i = 0; i < 8; ++i) state[i] = L::add(state[i], v[i]);
  }
  for (std::size_t i = 0; i < 8; ++i) L::store(lanes.words[i].data(), state[i]);
}

COFFER_LANES void compress_sixteen(Sha256Lanes& lanes, std::size_t block_count) {
  compress_lanes<Sixteen>(lanes, block_count);
}
COFFER_LANES void compress_eight(Sha256Lanes& lanes, std::size_t block_count) {
  compress_lanes<Eight>(lanes, block_count);
}

}  // namespace

bool has_sha256_lanes() {
  static const bool has = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                          __builtin_cpu_supports("avx512vl") != 0;
  return has;
}

void compress(Sha256Lanes& lanes, std::size_t lane_count, std::size_t block_count) {
  COFFER_CHECK(has_sha256_lanes() && (lane_count == 8 || lane_count == 16));
  if (lane_count == 16) {
    compress_sixteen(lanes, block_count);
  } else {
    compress_eight(lanes, block_count);
  }
  for (std::size_t lane = 0; lane < lane_count; ++lane) lanes.data[lane] += block_count * kSha256BlockBytes;
}

#else

bool has_sha256_lanes() { return false; }
void compress(Sha256Lanes&, std::size_t, std::size_t) { COFFER_CHECK(false); }

#endif

}  // namespace coffer::crypto
