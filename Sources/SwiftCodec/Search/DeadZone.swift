// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// Symbols of a latent without a search: a value takes the nearest integer, or the next one toward 0 where the bits that it
/// saves are worth more than the error.
///
/// The error is counted in the latent, where a step of any channel costs about the same at the rate that the networks were
/// trained for: where bits and errors are in balance, λ · step² is 12 / (2 ln 2) bits for every channel (uniform
/// quantisers at high rate), and less at low rates. The latent is not where the error is least: training has drawn it
/// toward 0 already, by what bits cost on average, which is to be taken off what a value saves.
final class DeadZone {
  private let tables: RateTables

  // The rule's three numbers are a fit to what moves of rounded values cost a decoder, over pictures, rate points and
  // bits saved; they are broad optima (docs/experiments, search).

  init(_ codec: SegmentCodec) { tables = RateTables(codec.coder.table, codec.coder.magnitude) }

  /// What `SegmentCodec.quantise` asks for.
  func choice(
    _ prior: SegmentPrior, _ values: UnsafePointer<Int16>, _ symbols: UnsafeMutablePointer<Int16>
  ) -> SegmentCodec.SymbolChoice {
    let size = prior.width * prior.height
    let rate = SegmentRate(
      tables, RateGeometry(width: prior.width, height: prior.height), values: symbols, countsAll: true)
    return { channels in
      rate.setScales(prior.scales.base, channels)
      for c in channels {
        rate.quantise(
          c,
          sc_zone(
            latent: values + c * size, means: prior.means.base + c * size, q: Int32(prior.latentExponent),
            step: 7, pull: 1.5, share: 0.42))
      }
    }
  }
}
