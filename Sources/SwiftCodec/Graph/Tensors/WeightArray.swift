// SPDX-License-Identifier: BSD-3-Clause

/// One array of a model's WGHT section.
struct WeightArray: Sendable {
  enum Elements: Sendable {
    case i16([Int16])
    case i32([Int32])
    case i8([Int8])
    case u8([UInt8])
  }
  let dimensions: [Int]
  let elements: Elements
}

extension WeightArray {
  static let maximumElements = 1 << 26

  static func parse(
    _ reader: inout ByteReader<ModelError>, _ place: ModelLocation
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
    // The array is allocated only when the file really holds its elements.
    let range = try reader.range(count: (count * size + 3) & ~3)
    let bytes = reader.bytes
    func load<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> [T] {
      bytes.withUnsafeBytes { raw in
        Array(unsafeUninitializedCapacity: count) { out, initialized in
          #if _endian(little)
            UnsafeMutableRawBufferPointer(out).copyMemory(
              from: UnsafeRawBufferPointer(rebasing: raw[range.lowerBound..<(range.lowerBound + count * size)]))
          #else
            for i in 0..<count {
              out[i] = T(littleEndian: raw.loadUnaligned(fromByteOffset: range.lowerBound + i * size, as: T.self))
            }
          #endif
          initialized = count
        }
      }
    }
    let elements: Elements =
      switch type {
      case 0: .i16(load(Int16.self))
      case 1: .i32(load(Int32.self))
      case 2: .i8(load(Int8.self))
      default: .u8(load(UInt8.self))
      }
    return WeightArray(dimensions: dimensions, elements: elements)
  }
}
