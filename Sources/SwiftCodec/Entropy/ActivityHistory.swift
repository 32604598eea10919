// SPDX-License-Identifier: BSD-3-Clause

/// What the frames since the last intra frame tell about which channels of a segment are active (docs/format/bitstream.md
/// §6.6): how much likelier each is than the entropy model says, in logarithms of odds, 1/256. A frame in which nothing moves
/// would otherwise spend most of its bits on saying so. One thread at a time may use it.
final class ActivityHistory {
  /// By channel, moved by every flag.
  private var drift: [Int32] = []

  /// P(1) / 2^15 at logarithms of odds of −6, −5.5 … 6, in between by lines.
  private static let logistic: [Int32] = [
    81, 133, 219, 360, 589, 961, 1554, 2486, 3906, 5978, 8813, 12371, 16384, 20397, 23955, 26790, 28862, 30282, 31214,
    31807, 32179, 32408, 32549, 32635, 32687,
  ]
  private static let limit: Int32 = 1536

  /// P(1) / 2^15; the logarithm is clamped to the table.
  static func probability(_ logarithm: Int32) -> Int32 {
    let at = min(limit, max(-limit, logarithm)) + limit
    let (i, rest) = (Int(at >> 7), at & 127)
    guard i + 1 < logistic.count else { return logistic[i] }
    return logistic[i] + ((logistic[i + 1] - logistic[i]) * rest + 64) >> 7
  }

  /// The largest logarithm whose probability is no more than P(1) / 2^15, or the least there is.
  static func logarithm(_ probability: Int32) -> Int32 {
    var (low, high) = (-limit, limit + 1)
    while low + 1 < high {
      let middle = (low + high) >> 1
      if Self.probability(middle) <= probability { low = middle } else { high = middle }
    }
    return low
  }

  /// The flags of a frame, one after the other. Without a history they are as likely as the entropy model says.
  struct Frame {
    private let history: ActivityHistory?
    /// What the flags so far say of all channels.
    private var common: Int32 = 0
    /// Of the last flag that was asked for.
    private var logarithm: Int32 = 0

    init(_ history: ActivityHistory?, channels: Int) {
      self.history = history
      guard let history, history.drift.count < channels else { return }
      history.drift += [Int32](repeating: 0, count: channels - history.drift.count)
    }

    /// P(active) / 2^15 of a channel whose entropy model says `model` / 2^15.
    mutating func probability(_ channel: Int, model: Int) -> UInt32 {
      guard let history else { return UInt32(model) }
      logarithm = ActivityHistory.logarithm(Int32(model)) + history.drift[channel] + common
      return UInt32(ActivityHistory.probability(logarithm))
    }

    /// Learns what that channel's flag was.
    mutating func learn(_ channel: Int, _ isActive: Bool) {
      guard let history else { return }
      let error = (isActive ? 32768 : 0) - ActivityHistory.probability(logarithm)
      history.drift[channel] = Self.within(history.drift[channel] + (error + 128) >> 8)
      common = Self.within(common + (error + 256) >> 9)
    }

    private static func within(_ value: Int32) -> Int32 { min(2 * limit, max(-2 * limit, value)) }
  }
}
