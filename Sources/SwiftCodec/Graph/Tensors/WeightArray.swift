// SPDX-License-Identifier: BSD-3-Clause

/// One array of a model's WGHT section; its elements stay in the file's memory.
struct WeightArray: Sendable {
  enum Elements: Sendable {
    case i16(FileArray<Int16>)
    case i32(FileArray<Int32>)
    case i8(FileArray<Int8>)
    case u8(FileArray<UInt8>)
  }
  let dimensions: [Int]
  let elements: Elements
}

extension WeightArray {
  static let maximumElements = 1 << 26

  static func parse(
    _ reader: inout ByteReader<ModelError>, of file: FileBytes, _ place: ModelLocation
  ) throws(ModelError) -> WeightArray {
    let type = try reader.u8()
    let rank = Int(try reader.u8())
    let reserved = Int(try reader.u16())
    guard reserved == 0 else { throw .value(place, field: "reserved", value: reserved, valid: 0...0) }
    guard 1...4 ~= rank else { throw .value(place, field: "rank", value: rank, valid: 1...4) }
    var dimensions: [Int] = []
    // Int64: where Int has 32 bits, the product would not fit it before it is refused.
    var elementCount: Int64 = 1
    for _ in 0..<rank {
      let d = Int(clamping: try reader.u32())
      guard 1...65536 ~= d else { throw .value(place, field: "dimension", value: d, valid: 1...65536) }
      dimensions.append(d)
      // The product so far is at most 2^26 and each factor at most 2^16: no overflow.
      elementCount *= Int64(d)
      guard elementCount <= Int64(maximumElements) else {
        throw .value(place, field: "elements", value: Int(clamping: elementCount), valid: 1...maximumElements)
      }
    }
    let count = Int(elementCount)
    guard type <= 3 else { throw .value(place, field: "type", value: Int(type), valid: 0...3) }
    let size = type == 0 ? 2 : type == 1 ? 4 : 1
    let offset = try reader.range(count: (count * size + 3) & ~3).lowerBound
    let elements: Elements =
      switch type {
      case 0: .i16(FileArray(file, at: offset, count: count))
      case 1: .i32(FileArray(file, at: offset, count: count))
      case 2: .i8(FileArray(file, at: offset, count: count))
      default: .u8(FileArray(file, at: offset, count: count))
      }
    return WeightArray(dimensions: dimensions, elements: elements)
  }
}
