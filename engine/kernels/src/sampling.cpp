// isa: any
// Picks one token from each row of logits: what engine/sampler.py does where these kernels are not, token for token.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "library.h"

namespace {

// How a token is picked. `scale` is one over the temperature, 0 for the likeliest token; `u` is in [0, 1).
struct Pick {
    double scale, top_p, min_p, u;
    int32_t top_k;
};

struct Candidate {
    float value;
    int32_t id;
};

bool likelier(const Candidate &a, const Candidate &b) { return a.value > b.value || (a.value == b.value && a.id < b.id); }

constexpr int LINES = 64;
constexpr int GUESSES[] = {48, 384};                // tokens that often, and mostly, hold what top_p asks for
constexpr int BIN_BITS = 17;                        // the low bits of a weight, in which those of one bin differ
constexpr int BINS = (0x3f800000 >> BIN_BITS) + 1;  // for weights from 0 to 1

// The first place whose running sum is above the share `u` of the last one: never one that adds nothing.
size_t inverse(const std::vector<double> &reached, double u) {
    double target = std::min(u * reached.back(), std::nextafter(reached.back(), 0.0));
    return std::upper_bound(reached.begin(), reached.end(), target) - reached.begin();
}

class Sampler {
  public:
    explicit Sampler(int vocabulary)
        : size_(vocabulary), columns_(vocabulary / LINES), filled_((vocabulary + LINES - 1) / LINES), highest_(columns_), copy_(vocabulary),
          weights_(filled_ * LINES), sums_(filled_ + 16) {}

    // -1 for logits that are not numbers.
    int32_t pick(const float *row, const Pick &pick) {
        row_ = row;
        int32_t best = find_best();
        if (best < 0 || pick.scale == 0) return best;
        if (0 < pick.top_k && pick.top_k < size_) {
            take_likeliest(pick.top_k, pick.scale);
            cut_nucleus(pick.top_p * total_of_candidates());
        } else if (pick.top_p < 1) {
            collect_nucleus(pick.scale, pick.top_p);
        } else if (pick.min_p > 0) {
            collect(static_cast<float>(peak_ + (std::log(pick.min_p) - 1e-9) / pick.scale));
            std::sort(candidates_.begin(), candidates_.end(), [](const Candidate &a, const Candidate &b) { return a.id < b.id; });
            weigh_candidates(pick.scale);
        } else {
            return draw_of_all(pick.scale, pick.u);
        }
        return draw_of_candidates(pick.min_p, pick.u);
    }

  private:
    int32_t find_best() {
        if (columns_ && !kernels()->column_maxima(row_, LINES, columns_, highest_.data())) return -1;
        peak_ = -INFINITY;
        for (float value : highest_) peak_ = std::max(peak_, value);
        for (int place = columns_ * LINES; place < size_; ++place) {
            if (std::isnan(row_[place])) return -1;
            peak_ = std::max(peak_, row_[place]);
        }
        if (std::isinf(peak_)) return -1;
        int32_t best = size_;
        for (int column = 0; column < columns_; ++column)
            if (highest_[column] == peak_)
                for (int place = column; place < best; place += columns_)
                    if (row_[place] == peak_) best = place;
        for (int place = columns_ * LINES; place < best; ++place)
            if (row_[place] == peak_) best = place;
        return best;
    }

    // All tokens whose logits reach `threshold`.
    void collect(float threshold) {
        candidates_.clear();
        for (int column = 0; column < columns_; ++column)
            if (highest_[column] >= threshold)
                for (int place = column; place < columns_ * LINES; place += columns_)
                    if (row_[place] >= threshold) candidates_.push_back({row_[place], place});
        for (int place = columns_ * LINES; place < size_; ++place)
            if (row_[place] >= threshold) candidates_.push_back({row_[place], place});
    }

    // The `count` likeliest tokens in order; of equals the lower id first. Where `count` columns have a token that
    // reaches a value, `count` tokens do.
    void take_likeliest(int count, double scale) {
        const float *values = 2 * count <= columns_ ? highest_.data() : row_;
        int among = 2 * count <= columns_ ? columns_ : size_;
        std::copy_n(values, among, copy_.begin());
        std::nth_element(copy_.begin(), copy_.begin() + (count - 1), copy_.begin() + among, std::greater<float>());
        collect(copy_[count - 1]);
        std::sort(candidates_.begin(), candidates_.end(), likelier);
        candidates_.resize(count);
        weigh_candidates(scale);
    }

    void collect_nucleus(double scale, double top_p) {
        double mass = top_p * weigh_all(scale);
        for (int guess : GUESSES)
            if (guess < size_) {
                take_likeliest(guess, scale);
                if (total_of_candidates() >= mass) return cut_nucleus(mass);
            }
        collect(reached_by_mass(mass, scale));
        std::sort(candidates_.begin(), candidates_.end(), likelier);
        weigh_candidates(scale);
        cut_nucleus(mass);
    }

    // A logit such that the tokens that reach it hold `mass`, and hardly more. Finds it by how much mass lies in narrow bins
    // of weights, with some to spare for what sums and weights are rounded by.
    float reached_by_mass(double mass, double scale) {
        bins_.assign(BINS, 0);
        for (int place = 0; place < size_; ++place) {
            uint32_t bits;
            std::memcpy(&bits, &weights_[place], sizeof bits);
            bins_[std::min<uint32_t>(bits >> BIN_BITS, BINS - 1)] += weights_[place];
        }
        uint32_t bin = BINS;
        for (double reached = 0; bin > 0 && reached < mass * (1 + 1e-5);) reached += bins_[--bin];
        uint32_t bits = bin << BIN_BITS;
        float weight;
        std::memcpy(&weight, &bits, sizeof weight);
        return bin ? static_cast<float>(peak_ + (std::log(static_cast<double>(weight)) - 1e-5) / scale) : -INFINITY;
    }

    // The fewest of the likeliest that together reach `mass`; always at least one.
    void cut_nucleus(double mass) {
        double reached = 0;
        size_t count = 0;
        while (count < chances_.size() && (count == 0 || reached < mass)) reached += chances_[count++];
        chances_.resize(count);
    }

    // Probabilities in proportion to the likeliest token's, which has 1.
    void weigh_candidates(double scale) {
        chances_.clear();
        for (const Candidate &candidate : candidates_) chances_.push_back(std::exp((static_cast<double>(candidate.value) - peak_) * scale));
    }

    double total_of_candidates() const {
        double total = 0;
        for (double chance : chances_) total += chance;
        return total;
    }

    int32_t draw_of_candidates(double min_p, double u) {
        double total = 0;
        reached_.clear();
        for (double chance : chances_) reached_.push_back(total += chance >= min_p ? chance : 0);
        return candidates_[inverse(reached_, u)].id;
    }

    double weigh_all(double scale) {
        kernels()->weigh(row_, size_, filled_, peak_, static_cast<float>(scale), weights_.data(), sums_.data());
        double total = 0;
        reached_.clear();
        for (int column = 0; column < filled_; ++column) reached_.push_back(total += sums_[column]);
        return total;
    }

    int32_t draw_of_all(double scale, double u) {
        double total = weigh_all(scale);
        size_t column = inverse(reached_, u);
        double before = column ? reached_[column - 1] : 0, inside = (u * total - before) / (reached_[column] - before);
        reached_.clear();
        double reached = 0;
        for (int line = 0; line < LINES; ++line) reached_.push_back(reached += weights_[line * filled_ + column]);
        return static_cast<int32_t>(inverse(reached_, inside) * filled_ + column);
    }

    int size_, columns_, filled_;
    const float *row_ = nullptr;
    float peak_ = 0;
    std::vector<float> highest_, copy_, weights_, sums_;
    std::vector<Candidate> candidates_;
    std::vector<double> chances_, reached_, bins_;
};

}  // namespace

extern "C" {

EXPORT Sampler *sampler_new(int vocabulary) { return new Sampler(vocabulary); }

EXPORT void sampler_free(Sampler *sampler) { delete sampler; }

// One token for each of the rows; -1 where logits are not numbers.
EXPORT void sampler_pick(Sampler *sampler, const float *logits, int64_t stride, int rows, const Pick *picks, int32_t *tokens) {
    for (int row = 0; row < rows; ++row) tokens[row] = sampler->pick(logits + row * stride, picks[row]);
}

}  // extern "C"
