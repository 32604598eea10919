// SPDX-License-Identifier: BSD-3-Clause

/// Why the bytes of a residual layer are refused.
public enum ResidualError: Error, Equatable, CustomStringConvertible {
  /// The sizes of the payloads do not end where the bytes do.
  case truncated
  /// A number is outside of its range.
  case value(field: StaticString, value: Int, valid: ClosedRange<Int>)
  /// The layer was coded on top of a base picture and there is none, or the other way round.
  case base(expected: Bool)
  /// A group of components of a segment holds values that no encoder writes, or ends too early or too late.
  case payload(segment: Int, group: Int)

  /// Fields are compared by the length of their names, for the Embedded library has no tables of Unicode.
  public static func == (a: ResidualError, b: ResidualError) -> Bool {
    switch (a, b) {
    case (.truncated, .truncated): true
    case (.value(let f, let v, let r), .value(let g, let w, let s)):
      v == w && r == s && f.utf8CodeUnitCount == g.utf8CodeUnitCount
    case (.base(let x), .base(let y)): x == y
    case (.payload(let s, let g), .payload(let t, let h)): s == t && g == h
    default: false
    }
  }

  /// The fault in words, for people; without a full stop.
  public var description: String {
    switch self {
    case .truncated: "the residual layer's payloads do not end where it does"
    case .value(let field, let value, let valid):
      "residual layer: \(field) is \(value), valid is \(valid.lowerBound)…\(valid.upperBound)"
    case .base(let expected):
      expected ? "the residual layer asks for a base picture" : "the residual layer has no base picture"
    case .payload(let segment, let group): "residual layer: segment \(segment), group \(group) is damaged"
    }
  }
}
