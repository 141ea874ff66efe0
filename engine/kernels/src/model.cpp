// isa: any
// One step of a model of the Llama family, from token ids to logits: all layers in one call.

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "library.h"
#include "pool.h"

namespace {

struct Shape {
    int32_t layers, hidden, feed_forward, heads, kv_heads, head_dim, rotated, vocabulary;
    float eps;
};

struct Layer {
    const float *attention_norm, *feed_forward_norm;
    const Linear *qkv, *output, *gate_up, *down;
};

struct Weights {
    const Layer *layers;
    const float *norm;
    const Linear *embedding, *head;
    const float *cosines, *sines;  // [positions, rotated / 2]
};

// The parts that a step's time is told by.
enum Part { EMBEDDING, QKV, ATTENTION, OUTPUT, GATE_UP, DOWN, HEAD, PARTS };

struct Step {
    int32_t rows, spans, wanted;
    const int32_t *token_ids;    // [rows]
    const Span *span;            // [spans]
    const int32_t *wanted_rows;  // [wanted]
    float *logits;               // [wanted, vocabulary]
    int64_t *nanoseconds;        // [PARTS], added to
};

constexpr int FEW_ROWS = 4;        // so few are quantized by each thread for itself, which saves a round of the pool
constexpr int SHORT_SPAN = 8;      // rows; what is longer is attended to in several tasks
constexpr int TASK_VECTORS = 24;   // query rows times heads of a task
constexpr int CHUNKS_A_THREAD = 4;

int64_t padded(int64_t columns) { return (columns + 63) / 64 * 64; }

// Memory for the quantized rows of one matrix product.
class Activations {
  public:
    Activations(int rows, int columns)
        : values_(rows * padded(columns) * 2 + 64),
          sums_(rows * padded(columns) / 16),
          pair_sums_(rows * padded(columns) / 32),
          scales_(rows),
          floats_(rows * padded(columns) + 16) {}

    Quantized of(int rows, int columns) {
        int32_t width = static_cast<int32_t>(padded(columns));
        return {rows, width, values_.data(), sums_.data(), pair_sums_.data(), scales_.data(), floats_.data()};
    }

  private:
    std::vector<uint8_t> values_;
    std::vector<float> sums_, pair_sums_, scales_, floats_;
};

class Model {
  public:
    Model(const Shape &shape, const Weights &weights, int threads)
        : shape_(shape), weights_(weights), layers_(weights.layers, weights.layers + shape.layers), pool_(threads) {
        widest_ = std::max({shape.hidden, shape.feed_forward, shape.heads * shape.head_dim});
        for (int thread = 0; thread < pool_.threads(); ++thread) {
            own_.push_back(std::make_unique<Activations>(FEW_ROWS, widest_));
            scratch_.emplace_back(kernels()->attention_scratch(shape.head_dim));
        }
        prepared_.resize(pool_.threads() * 16);
        make_room(FEW_ROWS);
    }

    void run(const Step &step, const Cache &cache) {
        make_room(std::max(step.rows, step.wanted));
        started_ = std::chrono::steady_clock::now();
        for (int row = 0; row < step.rows; ++row) read_row(weights_.embedding, step.token_ids[row], x_.data() + row * hidden());
        finish(step, EMBEDDING);
        share_out(step);
        for (int layer = 0; layer < shape_.layers; ++layer) run_layer(layer, step, cache);
        for (int row = 0; row < step.wanted; ++row)
            std::copy_n(x_.data() + step.wanted_rows[row] * hidden(), hidden(), attended_.data() + row * hidden());
        if (step.wanted)
            multiply(weights_.head, attended_.data(), hidden(), weights_.norm, step.wanted, STORE, step.logits, shape_.vocabulary);
        finish(step, HEAD);
    }

    void make_room(int rows) {
        if (rows <= room_) return;
        room_ = rows;
        int64_t count = rows;
        x_.resize(count * hidden() + 16);
        qkv_.resize(count * (shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim + 16);
        attended_.resize(count * std::max<int64_t>(hidden(), shape_.heads * shape_.head_dim) + 16);
        gated_.resize(count * shape_.feed_forward + 16);
        shared_ = std::make_unique<Activations>(rows, widest_);
    }

    void multiply(const Linear *linear, const float *from, int64_t from_stride, const float *norm, int rows, Finish finish, float *out,
                  int64_t stride) {
        int tiles = finish == GATE ? linear->tiles / 2 : linear->tiles;
        int a_chunk = std::max(1, tiles / (pool_.threads() * CHUNKS_A_THREAD));
        Quantized shared = shared_->of(rows, linear->columns);
        auto quantize = [&](Quantized *to, int first, int last) {
            for (int row = first; row < last; ++row)
                kernels()->quantize(from + row * from_stride, norm, shape_.eps, linear->columns, to, row, linear->bits != 32);
        };
        bool few = rows <= FEW_ROWS;
        if (!few) pool_.run((rows + 3) / 4, [&](int chunk, int) { quantize(&shared, chunk * 4, std::min(rows, chunk * 4 + 4)); });
        ++product_;
        pool_.run((tiles + a_chunk - 1) / a_chunk, [&](int chunk, int thread) {
            Quantized own = few ? own_[thread]->of(rows, linear->columns) : shared;
            if (few && prepared_[thread * 16] != product_) {
                quantize(&own, 0, rows);
                prepared_[thread * 16] = product_;
            }
            kernels()->multiply(linear, &own, chunk * a_chunk, std::min(tiles, (chunk + 1) * a_chunk), finish, out, stride);
        });
    }

  private:
    int64_t hidden() const { return shape_.hidden; }

    void run_layer(int index, const Step &step, const Cache &cache) {
        const Layer &layer = layers_[index];
        int64_t joined = (shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim, wide = shape_.heads * shape_.head_dim;
        multiply(layer.qkv, x_.data(), hidden(), layer.attention_norm, step.rows, STORE, qkv_.data(), joined);
        finish(step, QKV);
        attend(index, cache, joined, wide);
        finish(step, ATTENTION);
        multiply(layer.output, attended_.data(), wide, nullptr, step.rows, ADD, x_.data(), hidden());
        finish(step, OUTPUT);
        multiply(layer.gate_up, x_.data(), hidden(), layer.feed_forward_norm, step.rows, GATE, gated_.data(), shape_.feed_forward);
        finish(step, GATE_UP);
        multiply(layer.down, gated_.data(), shape_.feed_forward, nullptr, step.rows, ADD, x_.data(), hidden());
        finish(step, DOWN);
    }

    // A piece of attention: some rows of a span, for one key head.
    struct Piece {
        const Span *span;
        int32_t kv_head, row, rows;
        bool keeps;  // whether it also keeps the rows' keys and values
    };

    int group() const { return shape_.heads / shape_.kv_heads; }

    // The pieces of a step's attention, which are the same in every layer. Those of long spans can attend only when all of
    // the span's keys are kept.
    void share_out(const Step &step) {
        int at_once = std::max(1, TASK_VECTORS / group());
        keeping_.clear();
        attending_.clear();
        for (const Span *span = step.span; span < step.span + step.spans; ++span) {
            bool is_short = span->count <= std::min(SHORT_SPAN, at_once);
            for (int head = 0; head < shape_.kv_heads; ++head)
                for (int row = 0; row < span->count; row += at_once) {
                    int rows = std::min(at_once, span->count - row);
                    attending_.push_back({span, head, row, rows, is_short});
                    if (!is_short) keeping_.push_back({span, head, row, rows, true});
                }
        }
        // The longest first, so that no thread is left with one at the end.
        std::stable_sort(attending_.begin(), attending_.end(), [](const Piece &a, const Piece &b) {
            return a.span->start + a.row + a.rows > b.span->start + b.row + b.rows;
        });
    }

    void attend(int layer, const Cache &cache, int64_t joined, int64_t wide) {
        auto keep = [&](const Piece &piece) {
            kernels()->rotate_and_keep(&cache, piece.span, layer, piece.kv_head, group(), piece.row, piece.rows,
                                       qkv_.data() + piece.span->first_row * joined, joined, shape_.heads, shape_.rotated,
                                       weights_.cosines, weights_.sines);
        };
        if (!keeping_.empty()) pool_.run(keeping_.size(), [&](int chunk, int) { keep(keeping_[chunk]); });
        pool_.run(attending_.size(), [&](int chunk, int thread) {
            const Piece &piece = attending_[chunk];
            if (piece.keeps) keep(piece);
            int64_t first = piece.span->first_row, head = piece.kv_head * group() * shape_.head_dim;
            AttentionTask task = {&cache,
                                  piece.span,
                                  layer,
                                  piece.kv_head,
                                  group(),
                                  piece.row,
                                  piece.rows,
                                  static_cast<int32_t>(joined),
                                  qkv_.data() + first * joined + head,
                                  attended_.data() + first * wide + head,
                                  static_cast<int32_t>(wide),
                                  scratch_[thread].data()};
            kernels()->attend(&task);
        });
    }

    void finish(const Step &step, Part part) {
        auto now = std::chrono::steady_clock::now();
        step.nanoseconds[part] += std::chrono::duration_cast<std::chrono::nanoseconds>(now - started_).count();
        started_ = now;
    }

    Shape shape_;
    Weights weights_;
    std::vector<Layer> layers_;
    Pool pool_;
    int widest_ = 0, room_ = 0;
    std::vector<float> x_, qkv_, attended_, gated_;
    std::unique_ptr<Activations> shared_;
    std::vector<std::unique_ptr<Activations>> own_;  // [threads]
    std::vector<std::vector<float>> scratch_;        // [threads]
    std::vector<int64_t> prepared_;                  // which product a thread's own rows are for; 16 apart
    int64_t product_ = 0;
    std::vector<Piece> keeping_, attending_;
    std::chrono::steady_clock::time_point started_;
};

}  // namespace

extern "C" {

EXPORT Model *model_new(const Shape *shape, const Weights *weights, int threads) { return new Model(*shape, *weights, threads); }

EXPORT void model_free(Model *model) { delete model; }

EXPORT void model_run(Model *model, const Step *step, const Cache *cache) { model->run(*step, *cache); }

// [rows, columns] x linear.T -> [rows, linear.rows]
EXPORT void model_multiply(Model *model, const Linear *linear, int rows, const float *x, float *out) {
    model->make_room(rows);
    model->multiply(linear, x, linear->columns, nullptr, rows, STORE, out, linear->rows);
}

// Of one block for one key head of one layer.
EXPORT int64_t cache_block_bytes(int head_dim, int type) {
    int64_t elements = static_cast<int64_t>(head_dim) * BLOCK * 2;
    if (type == INT8) return elements + BLOCK * 2 * 4;
    return elements * (type == FLOAT32 ? 4 : 2);
}

}  // extern "C"
