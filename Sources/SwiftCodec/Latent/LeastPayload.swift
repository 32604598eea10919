// SPDX-License-Identifier: BSD-3-Clause

/// The fewest bytes that segments of a model can take. Mostly few, as a channel may be absent: what is refused by it cannot
/// decode.
///
/// Decoding takes a state x ≥ 2^16 by a symbol of frequency f to at most x − (2^15 − f)·⌊x / 2^15⌋, which is at most
/// x·(1 − ⅔·(1 − f / 2^15)), and by a word to less than x·2^17. Four states begin below 2^32 and end at 2^16. So a word is
/// needed for each 17 bits that symbols take off beyond 64.
struct LeastPayload {
  private struct Channel {
    /// Bits taken off by the flag of an absent channel, and of one that is there.
    let absent: Double
    let present: Double
    /// By a sample, at least.
    let sample: Double
  }

  private let latent: [Channel]
  private let hyperLatent: [Channel]
  private let factor: Int

  /// nil if the model has no such entropy model.
  init?(_ model: Model, _ kind: EntropyKind, at position: RatePosition) {
    guard let entropy = model.entropyModels.first(where: { $0.kind.rawValue == kind.rawValue }) else { return nil }
    let point = model.tablePoint(position)
    latent = Self.channels(entropy.tables[point])
    hyperLatent = model.hyperprior == nil ? [] : Self.channels(entropy.hyperTables[point])
    factor = model.hyperDivisor / model.latentDivisor
  }

  private static func bits(frequency: Int) -> Double {
    -binaryLogarithm(1 - 2.0 / 3 * (1 - Double(frequency) / 32768))
  }

  private static func channels(_ table: EntropyTable) -> [Channel] {
    let samples = table.cdfs.map { cdf in bits(frequency: cdf.frequencies.reduce(0) { max($0, Int($1)) }) }
    return table.order.indices.map { c in
      let active = table.active[c]
      return Channel(
        absent: bits(frequency: 32768 - active), present: bits(frequency: active),
        sample: table.channels[c].cdf.reduce(Double.infinity) { min($0, samples[$1]) })
    }
  }

  private static func bits(_ channels: [Channel], places: Double) -> Double {
    channels.reduce(0) { $0 + min($1.absent, $1.present + places * $1.sample) }
  }

  func bytes(_ layout: LatentLayout, segment: Int) -> Int {
    let rows = layout.rows(segment: segment).count
    let bits =
      Self.bits(latent, places: Double(layout.width) * Double(rows))
      + Self.bits(hyperLatent, places: Double(layout.width / factor) * Double(rows / factor))
    // A little less, for rounded logarithms.
    let words = max(0, (0.999 * bits - 64) / 17)
    return 16 + 2 * Int(min(words, 0x1p30))
  }
}
