// SPDX-License-Identifier: BSD-3-Clause
#include "sc_rdoq.h"

#include "contexts.h"

#pragma STDC FP_CONTRACT OFF

#define LIMIT SC_GRADIENT_LIMIT

// In 32 bits, which vectors take; and of what does not fit.
static inline int16_t limit(int32_t v) { return (int16_t)(v < -LIMIT ? -LIMIT : v > LIMIT ? LIMIT : v); }
static inline int16_t limit_wide(int64_t v) { return (int16_t)(v < -LIMIT ? -LIMIT : v > LIMIT ? LIMIT : v); }

// ---- Gradient ------------------------------------------------------------------------------------------------------

void sc_gradient_mask(const int16_t *restrict in, size_t count, int32_t hi, int32_t leaky,
                      uint8_t *restrict out) {
  const int16_t top = (int16_t)hi;
  if (leaky)
    for (size_t i = 0; i < count; i++)
      out[i] = in[i] < 0 ? 2 : in[i] < top;
  else
    for (size_t i = 0; i < count; i++)
      out[i] = (uint8_t)((in[i] > 0) & (in[i] < top));
}

void sc_gradient_apply_mask(int16_t *restrict gradient, const uint8_t *restrict mask, size_t count,
                            int32_t leaky) {
  if (leaky) {
    const int32_t half = 1 << (leaky - 1);
    for (size_t i = 0; i < count; i++)
      gradient[i] = mask[i] == 2 ? (int16_t)((gradient[i] + half) >> leaky) : mask[i] ? gradient[i] : 0;
  } else {
    for (size_t i = 0; i < count; i++)
      gradient[i] = (int16_t)(gradient[i] & -(int16_t)mask[i]);
  }
}

// The same of contiguous pixels with factors of 1.
static void add(const int16_t *restrict in, int16_t *restrict out, size_t count) {
  for (size_t i = 0; i < count; i++)
    out[i] = limit((int16_t)(out[i] + in[i]));
}

void sc_gradient_accumulate(const int16_t *in, ptrdiff_t in_step, ptrdiff_t in_channel, int16_t *out,
                            ptrdiff_t out_step, ptrdiff_t out_channel, int32_t channels,
                            const int32_t *factor, size_t pixels) {
  int is_one = in_channel == 1 && out_channel == 1 && in_step == channels && out_step == channels;
  int is_narrow = 1;
  for (int32_t c = 0; is_narrow && c < channels; c++) {
    is_one &= factor[c] == 1 << 16;
    is_narrow = factor[c] > -(1 << 17) && factor[c] < 1 << 17;
  }
  if (is_one) {
    add(in, out, pixels * (size_t)channels);
    return;
  }
  // No product exceeds 31 bits.
  if (is_narrow && in_channel == 1 && out_channel == 1) {
    for (size_t x = 0; x < pixels; x++, in += in_step, out += out_step)
      for (int32_t c = 0; c < channels; c++)
        out[c] = limit(out[c] + ((in[c] * factor[c] + 32768) >> 16));
    return;
  }
  for (int32_t c = 0; is_narrow && c < channels; c++) {
    const int16_t *from = in + c * in_channel;
    int16_t *to = out + c * out_channel;
    for (size_t x = 0; x < pixels; x++, from += in_step, to += out_step)
      *to = limit(*to + ((*from * factor[c] + 32768) >> 16));
  }
  if (is_narrow)
    return;
  for (size_t x = 0; x < pixels; x++, in += in_step, out += out_step)
    for (int32_t c = 0; c < channels; c++) {
      const int64_t v = in[c * in_channel] * (int64_t)factor[c] + 32768;
      out[c * out_channel] = limit_wide(out[c * out_channel] + (v >> 16));
    }
}

int64_t sc_gradient_power(const int16_t *gradient, size_t count) {
  int64_t sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += (uint32_t)(gradient[i] * gradient[i]);
  return sum;
}

void sc_gradient_scale(int16_t *gradient, size_t count, int32_t shift) {
  if (shift < 0)
    for (size_t i = 0; i < count; i++)
      gradient[i] = limit(gradient[i] >> -shift);
  else
    for (size_t i = 0; i < count; i++) {
      const int32_t v = gradient[i], most = LIMIT >> shift,
                    clamped = v < -most - 1  ? -most - 1
                              : v > most + 1 ? most + 1
                                             : v;
      gradient[i] = limit(clamped * (1 << shift));
    }
}

void sc_gradient_to_planes(const int16_t *in, const float *unit, float *out, ptrdiff_t plane,
                           int32_t channels, size_t width, int32_t power) {
  // Rows are read and planes written in blocks of a cache line.
  for (int32_t first = 0; first < channels; first += 32) {
    const int32_t last = first + 32 < channels ? first + 32 : channels;
    for (int32_t c = first; c < last; c++) {
      float *to = out + c * plane;
      for (size_t x = 0; x < width; x++) {
        const float v = (float)in[x * (size_t)channels + (size_t)c] * unit[c];
        to[x] = power == 0 ? v : power == 1 ? to[x] + v : to[x] + v * v;
      }
    }
  }
}

// ---- Rate ----------------------------------------------------------------------------------------------------------

static inline double bits_under(const sc_rate_cdf *cdf, int32_t residual) {
  const int32_t i = residual - cdf->minimum, escape = cdf->symbols - 1;
  if (__builtin_expect((uint32_t)i < (uint32_t)escape, 1))
    return cdf->bits[i];
  const int length = sc_escape_length(sc_escape_rest(i, escape));
  return cdf->bits[escape] + SC_ESCAPE_LENGTH_BITS + (length > 1 ? length - 1 : 0);
}

double sc_rate_bits(const sc_rate_cdf *cdf, int32_t residual) { return bits_under(cdf, residual); }

static inline int32_t residual_of(const sc_rate_channel *c, int32_t value, int32_t mean) {
  return c->means ? (int16_t)(value - sc_mean_of(mean, c->mean_shift)) : value;
}

static inline uint8_t magnitude_of(const sc_rate *r, const sc_rate_channel *c, int32_t residual) {
  return sc_magnitude_of(r->magnitude_kind, c->low, c->high, r->table, residual);
}

// Bits of a sample with the sums of its contexts. `is_plain` is a constant where it is called: that the channel has sums
// and no means, as nearly all have.
static inline __attribute__((always_inline)) double sample_bits(const sc_rate *r, const sc_rate_channel *c,
                                                                int32_t value, int32_t sum, int32_t mean,
                                                                int is_plain) {
  if (is_plain)
    return bits_under(r->cdfs + c->cdf[c->level_of[sc_level_sum(sum, c->shift)]], value);
  int32_t index = 0;
  if (c->sums)
    index = c->level_of[sc_level_sum(sum, c->shift)];
  if (c->means)
    index = (index << c->phase_bits) | sc_phase_of(mean, c->mean_shift, c->phase_bits);
  return bits_under(r->cdfs + c->cdf[index], residual_of(c, value, mean));
}

static inline int is_plain(const sc_rate_channel *c) { return c->sums && !c->means; }

#define SUM(c, p) ((c)->sums ? (c)->sums[p] : 0)
#define MEAN(c, p) ((c)->means ? (c)->means[p] : 0)

// Adds to the sums or means of a channel what a change at a place adds to those that have it in their 3×3.
static inline void add_around(const sc_rate *r, const int32_t *restrict weight, int32_t p, int32_t moved,
                              int32_t *restrict sums) {
  const int32_t first = r->box_start[p], end = r->box_start[p + 1], w = r->width;
  if (r->box[first].place != p - w - 1 || r->box[end - 1].place != p + w + 1) { // at a border
    for (int32_t j = first; j < end; j++)
      sums[r->box[j].place] += weight[r->box[j].k] * moved;
    return;
  }
  for (int32_t k = 0; k < 3; k++) {
    int32_t *row = sums + p + (1 - k) * w;
    row[1] += weight[3 * k] * moved;
    row[0] += weight[3 * k + 1] * moved;
    row[-1] += weight[3 * k + 2] * moved;
  }
}

// Tells the means that see a value that it changed by `difference`: of the same channel, of others.
static void tell_own_means(const sc_rate *r, const sc_rate_channel *c, int32_t p, int32_t difference) {
  if (c->means)
    for (int32_t j = r->causal_start[p]; j < r->causal_start[p + 1]; j++)
      c->means[r->causal[j].place] += c->mean_weight[r->causal[j].k] * difference;
}

static void tell_other_means(const sc_rate *r, const sc_rate_channel *c, int32_t p, int32_t difference) {
  for (int32_t l = 0; l < c->mean_link_count; l++)
    add_around(r, c->mean_links[l].weight, p, difference, r->channels[c->mean_links[l].channel].means);
}

static void tell_means(const sc_rate *r, const sc_rate_channel *c, int32_t p, int32_t difference) {
  tell_own_means(r, c, p, difference);
  tell_other_means(r, c, p, difference);
}

// What a magnitude of a channel changed by, told to the levels of the same channel that see it.
static inline void tell_own(const sc_rate *r, const sc_rate_channel *c, int32_t p, int32_t moved) {
  if (!c->sums)
    return;
  for (int32_t j = r->causal_start[p]; j < r->causal_start[p + 1]; j++)
    c->sums[r->causal[j].place] += c->weight[r->causal[j].k] * moved;
}

// Takes the magnitude of a sample's value and mean, and tells the levels that see it what it changed by.
static void see(const sc_rate *r, const sc_rate_channel *c, int32_t p) {
  const int32_t m = magnitude_of(r, c, residual_of(c, c->values[p], MEAN(c, p)));
  const int32_t moved = m - c->magnitudes[p];
  if (!moved)
    return;
  c->magnitudes[p] = (uint8_t)m;
  tell_own(r, c, p, moved);
  for (int32_t l = 0; l < c->link_count; l++)
    add_around(r, c->links[l].weight, p, moved, r->channels[c->links[l].channel].sums);
}

// What `see` tells other channels of all magnitudes of a channel that they took for `before`, row by row.
static void tell_others(const sc_rate *r, const sc_rate_channel *c, int32_t before) {
  const int32_t w = r->width, inner = w - 2;
  for (int32_t first = 0; first < r->places; first += w) {
    const uint8_t *restrict m = c->magnitudes + first + 1;
    int is_same = 1;
    for (int32_t x = -1; x <= inner; x++)
      is_same &= m[x] == before;
    if (is_same)
      continue;
    // Columns at the borders one by one; in the first and last rows all of them.
    const int is_border = first == 0 || first + w == r->places || inner < 1;
    const int32_t step = is_border ? 1 : w - 1;
    for (int32_t l = 0; l < c->link_count; l++) {
      int32_t *restrict sums = r->channels[c->links[l].channel].sums;
      const int32_t *weight = c->links[l].weight;
      for (int32_t x = 0; x < w; x += step)
        if (c->magnitudes[first + x] != before)
          add_around(r, weight, first + x, c->magnitudes[first + x] - before, sums);
      for (int32_t k = 0; !is_border && k < 9; k++) {
        int32_t *restrict to = sums + first + 1 + (1 - k / 3) * w + 1 - k % 3;
        const int32_t by = weight[k];
        for (int32_t x = 0; by && x < inner; x++)
          to[x] += by * (m[x] - before);
      }
    }
  }
}

size_t sc_count_equal(const int16_t *restrict values, size_t count, int16_t value) {
  size_t sum = 0;
  // In blocks whose counts fit 16 bits.
  for (size_t first = 0; first < count; first += 16384) {
    const size_t end = count - first < 16384 ? count : first + 16384;
    int16_t equal = 0;
    for (size_t i = first; i < end; i++)
      equal = (int16_t)(equal + (values[i] == value));
    sum += (size_t)equal;
  }
  return sum;
}

void sc_rate_fill(const sc_rate *r, const uint8_t *active) {
  if (r->magnitude_kind == SC_MAGNITUDE_NONE)
    return;
  const int32_t n = r->places;
  for (int32_t i = 0; i < r->channel_count; i++) {
    const sc_rate_channel *c = r->channels + i;
    for (int32_t p = 0; p < n && c->means; p++)
      c->means[p] = 1 << (c->mean_shift - 1);
    for (int32_t p = 0; p < n && c->sums; p++)
      c->sums[p] = c->scales ? c->scale_weight * c->scales[p] : 0;
  }
  for (int32_t i = 0; i < r->channel_count; i++)
    for (int32_t p = 0; active[i] && p < n; p++)
      if (r->channels[i].values[p])
        tell_means(r, r->channels + i, p, r->channels[i].values[p]);
  for (int32_t i = 0; i < r->channel_count; i++) {
    const sc_rate_channel *c = r->channels + i;
    for (int32_t p = 0; active[i] && p < n; p++)
      c->magnitudes[p] = magnitude_of(r, c, residual_of(c, c->values[p], MEAN(c, p)));
    if (!active[i])
      continue;
    for (int32_t p = 0; p < n; p++)
      if (c->magnitudes[p])
        tell_own(r, c, p, c->magnitudes[p]);
    tell_others(r, c, 0);
  }
}

static inline __attribute__((always_inline)) void place_bits(const sc_rate *r, const sc_rate_channel *c,
                                                             double *bits, int plain) {
  for (int32_t p = 0; p < r->places; p++)
    bits[p] += sample_bits(r, c, c->values[p], SUM(c, p), MEAN(c, p), plain);
}

void sc_rate_place_bits(const sc_rate *r, int32_t channel, double *bits) {
  const sc_rate_channel *c = r->channels + channel;
  if (is_plain(c))
    place_bits(r, c, bits, 1);
  else
    place_bits(r, c, bits, 0);
}

double sc_rate_channel_bits(const sc_rate *r, int32_t channel) {
  const sc_rate_channel *c = r->channels + channel;
  double bits = 0;
  for (int32_t p = 0; p < r->places; p++)
    bits += sample_bits(r, c, c->values[p], SUM(c, p), MEAN(c, p), 0);
  return bits;
}

double sc_rate_own_change(const sc_rate *r, int32_t channel, int32_t place, int32_t value) {
  const sc_rate_channel *c = r->channels + channel;
  const int32_t sum = SUM(c, place), mean = MEAN(c, place);
  return sample_bits(r, c, value, sum, mean, 0) - sample_bits(r, c, c->values[place], sum, mean, 0);
}

static inline int32_t touch(const sc_rate *r, int32_t channel, int32_t place, int32_t count) {
  uint8_t *touched = r->touched + channel * r->places + place;
  if (*touched || count == r->list_size)
    return count;
  *touched = 1;
  r->list[count] = (sc_rate_sample){channel, place};
  return count + 1;
}

double sc_rate_change(const sc_rate *r, int32_t channel, int32_t place, int32_t value) {
  const sc_rate_channel *changed = r->channels + channel;
  if (r->magnitude_kind == SC_MAGNITUDE_NONE)
    return sc_rate_own_change(r, channel, place, value);
  const int32_t n = r->places, difference = value - changed->values[place];
  int32_t count = touch(r, channel, place, 0); // the first of the list
  // The means that see it,
  if (changed->means)
    for (int32_t j = r->causal_start[place]; j < r->causal_start[place + 1]; j++) {
      const sc_rate_neighbour at = r->causal[j];
      if (!changed->mean_weight[at.k])
        continue;
      r->mean_change[channel * n + at.place] += changed->mean_weight[at.k] * difference;
      count = touch(r, channel, at.place, count);
    }
  for (int32_t l = 0; l < changed->mean_link_count; l++)
    for (int32_t j = r->box_start[place]; j < r->box_start[place + 1]; j++) {
      const sc_rate_link *link = changed->mean_links + l;
      const sc_rate_neighbour at = r->box[j];
      if (!link->weight[at.k])
        continue;
      r->mean_change[link->channel * n + at.place] += link->weight[at.k] * difference;
      count = touch(r, link->channel, at.place, count);
    }
  // then the levels that see residuals.
  const int32_t residuals = count;
  for (int32_t i = 0; i < residuals; i++) {
    const int32_t ci = r->list[i].channel, p = r->list[i].place;
    const sc_rate_channel *c = r->channels + ci;
    const int32_t v = i ? c->values[p] : value;
    const int32_t m = magnitude_of(r, c, residual_of(c, v, MEAN(c, p) + r->mean_change[ci * n + p]));
    const int32_t moved = m - c->magnitudes[p];
    if (!moved)
      continue;
    if (c->sums)
      for (int32_t j = r->causal_start[p]; j < r->causal_start[p + 1]; j++) {
        const sc_rate_neighbour to = r->causal[j];
        if (!c->weight[to.k])
          continue;
        r->sum_change[ci * n + to.place] += c->weight[to.k] * moved;
        count = touch(r, ci, to.place, count);
      }
    for (int32_t l = 0; l < c->link_count; l++)
      for (int32_t j = r->box_start[p]; j < r->box_start[p + 1]; j++) {
        const sc_rate_link *link = c->links + l;
        const sc_rate_neighbour to = r->box[j];
        if (!link->weight[to.k])
          continue;
        r->sum_change[link->channel * n + to.place] += link->weight[to.k] * moved;
        count = touch(r, link->channel, to.place, count);
      }
  }
  double bits = 0;
  for (int32_t i = 0; i < count; i++) {
    const int32_t p = r->list[i].place, at = r->list[i].channel * n + p;
    const sc_rate_channel *c = r->channels + r->list[i].channel;
    const int32_t sum = SUM(c, p), mean = MEAN(c, p);
    const int32_t new_sum = sum + r->sum_change[at], new_mean = mean + r->mean_change[at];
    if (i == 0 || new_sum != sum || new_mean != mean)
      bits += sample_bits(r, c, i ? c->values[p] : value, new_sum, new_mean, 0) -
              sample_bits(r, c, c->values[p], sum, mean, 0);
    r->sum_change[at] = 0;
    r->mean_change[at] = 0;
    r->touched[at] = 0;
  }
  return bits;
}

void sc_rate_apply(const sc_rate *r, int32_t channel, int32_t place, int32_t value) {
  const sc_rate_channel *c = r->channels + channel;
  const int32_t difference = value - c->values[place];
  c->values[place] = (int16_t)value;
  if (r->magnitude_kind == SC_MAGNITUDE_NONE)
    return;
  // First all means, then the residuals that they change.
  tell_means(r, c, place, difference);
  see(r, c, place);
  for (int32_t j = r->causal_start[place]; c->means && j < r->causal_start[place + 1]; j++)
    see(r, c, r->causal[j].place);
  for (int32_t l = 0; l < c->mean_link_count; l++)
    for (int32_t j = r->box_start[place]; j < r->box_start[place + 1]; j++)
      see(r, r->channels + c->mean_links[l].channel, r->box[j].place);
}

void sc_rate_set_scales(const sc_rate *r, int32_t channel, const uint8_t *restrict new_scales) {
  const sc_rate_channel *c = r->channels + channel;
  int32_t *restrict sums = c->sums;
  uint8_t *restrict scales = c->scales;
  const int32_t weight = c->scale_weight;
  for (int32_t p = 0; p < r->places; p++) {
    sums[p] += weight * (new_scales[p] - scales[p]);
    scales[p] = new_scales[p];
  }
}

static inline __attribute__((always_inline)) void differences(const sc_rate *r, const sc_rate_channel *c,
                                                              int32_t order, float *by_value, float *by_scale,
                                                              int plain) {
  // Levels are several scales wide.
  const int32_t reach = 8;
  for (int32_t p = 0; p < r->places; p++) {
    const int32_t sum = SUM(c, p), mean = MEAN(c, p), v = c->values[p];
    const double now = order == 1 ? 0 : sample_bits(r, c, v, sum, mean, plain);
    const double above = sample_bits(r, c, v + 1, sum, mean, plain),
                 below = sample_bits(r, c, v - 1, sum, mean, plain);
    by_value[p] = (float)(order == 1 ? (above - below) / 2 : above + below - 2 * now);
    const int32_t scale = c->sums && c->scales ? c->scales[p] : 0;
    by_scale[p] = 0;
    if (scale == 0 || scale == 255)
      continue;
    const int32_t down = scale < reach ? scale : reach, up = 255 - scale < reach ? 255 - scale : reach;
    const double more = sample_bits(r, c, v, sum + up * c->scale_weight, mean, plain);
    const double less = sample_bits(r, c, v, sum - down * c->scale_weight, mean, plain);
    const double slope = order == 1 ? more - less : 2 * ((more - now) / up - (now - less) / down);
    by_scale[p] = (float)(slope / (up + down));
  }
}

void sc_rate_differences(const sc_rate *r, int32_t channel, int32_t order, float *by_value, float *by_scale) {
  const sc_rate_channel *c = r->channels + channel;
  if (order == 1 && is_plain(c))
    differences(r, c, 1, by_value, by_scale, 1);
  else
    differences(r, c, order, by_value, by_scale, 0);
}

// Marks the values for which no change can save as much as the thresholds say, all 0: from there other values only take
// more bits, and by the error there is at most weight · slope² / curvature to save, by moves of more than half a step.
static void mark_settled(const sc_requantiser *how, const int16_t *restrict values, int32_t places,
                         uint8_t *restrict settled) {
  const float one = (float)(1 << how->q), weight = how->weight;
  const int16_t *restrict means = how->means, *restrict reference = how->reference;
  const float *restrict gradient = how->gradient, *restrict curvature = how->curvature;
  const float *restrict threshold = how->threshold;
  for (int32_t p = 0; p < places; p++) {
    const float h = curvature[p], d = (float)(means[p] - reference[p]);
    const float slope = gradient[p] + h * d, size = slope < 0 ? -slope : slope;
    settled[p] =
        (uint8_t)((values[p] == 0) & ((2 * size <= h * one) | (weight * slope * slope <= threshold[p] * h)));
  }
}

// The change of a value that saves most, more than `saved`; the value itself if there is none.
static inline __attribute__((always_inline)) int32_t best_change(const sc_rate *r, int32_t channel, int32_t p,
                                                                 const sc_requantiser *how, double *saved,
                                                                 int plain) {
  const sc_rate_channel *c = r->channels + channel;
  const double one = 1 << how->q;
  const double g = how->gradient[p], h = how->curvature[p];
  const int32_t mean = how->means[p], old = c->values[p];
  const int32_t base = mean - how->reference[p], sum = SUM(c, p), offset = MEAN(c, p);
  double ideal = ((h > 0 ? -g / h : 0) - base) / one;
  ideal = ideal < -32000 ? -32000 : ideal > 32000 ? 32000 : ideal;
  const int32_t whole = (int32_t)ideal, below = whole - (whole > ideal);
  // What it is, the integers around the best real value, and the next one on the side of zero.
  const int32_t candidates[4] = {old, below, below + 1, ideal > 0 ? below - 1 : below + 2};
  double cost[4], own[4], least = 0;
  for (int i = 0; i < 4; i++) {
    const double d = candidates[i] * one + base;
    own[i] = candidates[i] == old && i ? own[0] : sample_bits(r, c, candidates[i], sum, offset, plain);
    cost[i] = how->weight * d * (2 * g + h * d) + own[i];
    if (i == 0 || cost[i] < least)
      least = cost[i];
  }
  int32_t best = old;
  for (int i = 1; i < 4; i++) {
    const int32_t v = candidates[i], y = v * (1 << how->q) + mean;
    if (v == old || cost[i] > least + 2 || v < -32768 || v > 32767 || y < -32768 || y > 32767)
      continue;
    double gain = cost[0] - cost[i];
    if (how->looks_ahead && gain > *saved)
      gain += own[i] - own[0] - sc_rate_change(r, channel, p, v);
    if (gain > *saved) {
      *saved = gain;
      best = v;
    }
  }
  return best;
}

static int32_t best_change_of_any(const sc_rate *r, int32_t channel, int32_t p, const sc_requantiser *how,
                                  double *saved) {
  return best_change(r, channel, p, how, saved, 0);
}

static int32_t best_change_of_plain(const sc_rate *r, int32_t channel, int32_t p, const sc_requantiser *how,
                                    double *saved) {
  return best_change(r, channel, p, how, saved, 1);
}

// Whether `scratch` says which values are settled: not where means move, whose values are small at other places.
static int marks(const sc_rate_channel *c, const sc_requantiser *how, int32_t places) {
  if (!how->threshold || c->means)
    return 0;
  mark_settled(how, c->values, places, how->scratch);
  return 1;
}

int32_t sc_rate_requantise(const sc_rate *r, int32_t channel, const sc_requantiser *how) {
  const sc_rate_channel *c = r->channels + channel;
  const int is_marked = marks(c, how, r->places), plain = is_plain(c);
  int32_t changes = 0;
  for (int32_t p = 0; p < r->places; p++) {
    if (is_marked && how->scratch[p])
      continue;
    double saved = how->threshold ? how->threshold[p] : 0;
    const int32_t v = plain ? best_change_of_plain(r, channel, p, how, &saved)
                            : best_change_of_any(r, channel, p, how, &saved);
    if (v != c->values[p]) {
      sc_rate_apply(r, channel, p, v);
      changes++;
    }
  }
  sc_dequantise(c->values, how->means, how->decoded, (size_t)r->places, how->q);
  return changes;
}

void sc_rate_propose(const sc_rate *r, int32_t channel, const sc_requantiser *how, float *gains,
                     int16_t *to) {
  const sc_rate_channel *c = r->channels + channel;
  const int is_marked = marks(c, how, r->places), plain = is_plain(c);
  for (int32_t p = 0; p < r->places; p++) {
    double saved = -1e9;
    to[p] = c->values[p];
    if (!(is_marked && how->scratch[p]))
      to[p] = (int16_t)(plain ? best_change_of_plain(r, channel, p, how, &saved)
                              : best_change_of_any(r, channel, p, how, &saved));
    gains[p] = (float)saved;
  }
}

void sc_rate_quantise(const sc_rate *r, int32_t channel, const sc_zone *zone) {
  const sc_rate_channel *c = r->channels + channel;
  const int has_contexts = r->magnitude_kind != SC_MAGNITUDE_NONE;
  const int32_t one = 1 << zone->q, half = zone->q ? 1 << (zone->q - 1) : 0, n = r->places;
  const int32_t before = has_contexts ? magnitude_of(r, c, 0) : 0;
  for (int32_t p = 0; p < n; p++) {
    const int32_t rest = zone->latent[p] - zone->means[p], sum = SUM(c, p), mean = MEAN(c, p);
    int32_t v = (rest + half) >> zone->q;
    v = v < -32768 ? -32768 : v > 32767 ? 32767 : v;
    if (v) {
      const int32_t nearer = v > 0 ? v - 1 : v + 1;
      // Where the latent lies between the two: mostly from 1/2 to 3/2.
      const float f = (float)(v > 0 ? rest - nearer * one : nearer * one - rest) / (float)one;
      const double saved = sample_bits(r, c, v, sum, mean, 0) - sample_bits(r, c, nearer, sum, mean, 0);
      if ((1 - zone->share) * (float)saved > zone->pull + zone->step * (2 * f - 1))
        v = nearer;
    }
    c->values[p] = (int16_t)v;
    if (!has_contexts)
      continue;
    if (v)
      tell_own_means(r, c, p, v);
    const int32_t m = magnitude_of(r, c, residual_of(c, v, mean));
    c->magnitudes[p] = (uint8_t)m;
    if (m != before)
      tell_own(r, c, p, m - before);
  }
  // Other channels that see this one come later: all at once.
  if (!has_contexts)
    return;
  for (int32_t p = 0; c->mean_link_count && p < n; p++)
    if (c->values[p])
      tell_other_means(r, c, p, c->values[p]);
  tell_others(r, c, before);
}
