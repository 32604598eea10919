// SPDX-License-Identifier: BSD-3-Clause

/// Where in a model file a fault lies.
public struct ModelLocation: Sendable, Equatable {
  /// The section's tag, e.g. "GRPH"; empty for the file itself.
  public let section: String
  /// The graph's role and the layer's position and name, or the position of a weight array or rate point.
  public let item: String

  package init(section: String, item: String) {
    self.section = section
    self.item = item
  }

  /// Byte by byte: Unicode's equivalence needs tables that the Embedded library does without.
  public static func == (a: ModelLocation, b: ModelLocation) -> Bool {
    a.section.utf8.elementsEqual(b.section.utf8) && a.item.utf8.elementsEqual(b.item.utf8)
  }

  /// Section and item, for people.
  public var description: String {
    if section.utf8.isEmpty { return "model file" }
    return item.utf8.isEmpty ? "section " + section : "section " + section + ", " + item
  }
}

/// Why a model file is refused.
public enum ModelError: Error, CustomStringConvertible {
  /// The first 8 bytes are not "SCMODEL" and a known version.
  case notAModel
  /// A field goes past the end of the file or of its section.
  case truncated(ModelLocation, offset: Int)
  /// The CRC-32C of a section is not the stored one.
  case checksum(ModelLocation)
  /// A section is missing, twice there, unknown, or out of order.
  case section(ModelLocation, StaticString)
  /// A number is outside of its range.
  case value(ModelLocation, field: StaticString, value: Int, valid: ClosedRange<Int>)
  /// A text is not UTF-8 or longer than its limit.
  case text(ModelLocation, field: StaticString, length: Int, limit: Int)
  /// A layer reads a tensor that is not made by an earlier layer: a cycle, or a tensor that does not exist.
  case tensor(ModelLocation, tensor: Int, defined: Int)
  /// A layer names a weight array that does not exist.
  case missingArray(ModelLocation, field: StaticString, index: Int64, count: Int)
  /// A weight array has another type or shape than the layer asks for.
  case arrayShape(ModelLocation, field: StaticString, StaticString)
  /// Tensors that a layer brings together do not fit each other.
  case shape(ModelLocation, StaticString)
  /// |bias| + Σ|w|·2^bits + 2^(s−1) reaches 2^31: an accumulator could overflow.
  case overflow(ModelLocation, channel: Int, bound: Int64)
  /// Entropy tables break a rule of model.md §8.
  case entropy(ModelLocation, StaticString)

  /// Where the fault lies; nil for the file as a whole.
  public var location: ModelLocation? {
    switch self {
    case .notAModel: nil
    case .truncated(let l, _), .checksum(let l), .section(let l, _), .value(let l, _, _, _), .text(let l, _, _, _),
      .tensor(let l, _, _), .missingArray(let l, _, _, _), .arrayShape(let l, _, _), .shape(let l, _),
      .overflow(let l, _, _), .entropy(let l, _):
      l
    }
  }

  /// The fault in words, for people; without a full stop.
  public var description: String {
    let place = location.map { $0.description + ": " } ?? ""
    switch self {
    case .notAModel: return "not a model file of a known version"
    case .truncated(_, let offset): return place + "ends too early, at byte \(offset)"
    case .checksum: return place + "CRC-32C does not match: the file is damaged"
    case .section(_, let what): return place + "\(what)"
    case .value(_, let field, let value, let valid):
      return place + "\(field) is \(value), valid is \(valid.lowerBound)…\(valid.upperBound)"
    case .text(_, let field, let length, let limit):
      return place + "\(field) of \(length) bytes is longer than \(limit) or not UTF-8"
    case .tensor(_, let tensor, let defined):
      return place + "reads tensor \(tensor) where only 0…\(defined - 1) exist yet: a cycle or a missing tensor"
    case .missingArray(_, let field, let index, let count):
      return place + "\(field) is weight array \(index), but the file has \(count)"
    case .arrayShape(_, let field, let want): return place + "\(field) is not \(want)"
    case .shape(_, let what): return place + "\(what)"
    case .overflow(_, let channel, let bound):
      return place
        + "weights of output channel \(channel) are too large: the accumulator can reach \(bound), the limit is 2147483647"
    case .entropy(_, let what): return place + "\(what)"
    }
  }
}
