// SPDX-License-Identifier: BSD-3-Clause

/// Reads fields of GRPH sections: every number within its range, every array there and of the type and shape that is asked
/// for.
struct LayerReader {
  let weights: Weights
  let widthClasses: Int
  var bytes: ByteReader<ModelError>
  var place = ModelLocation(section: "GRPH", item: "")
  /// Shared by all graphs of the file.
  var proofs: RangeProofs

  private func checked(_ field: StaticString, _ value: Int, _ valid: ClosedRange<Int>) throws(ModelError) -> Int {
    guard valid ~= value else { throw .value(place, field: field, value: value, valid: valid) }
    return value
  }

  mutating func u8(_ field: StaticString, _ valid: ClosedRange<Int>) throws(ModelError) -> Int {
    try checked(field, Int(try bytes.u8()), valid)
  }

  mutating func i8(_ field: StaticString, _ valid: ClosedRange<Int>) throws(ModelError) -> Int {
    try checked(field, Int(try bytes.i8()), valid)
  }

  mutating func u16(_ field: StaticString, _ valid: ClosedRange<Int>) throws(ModelError) -> Int {
    try checked(field, Int(try bytes.u16()), valid)
  }

  /// nil for 255: all channels at every rate point.
  mutating func widthClass(channels: Int) throws(ModelError) -> Int? {
    let value = Int(try bytes.u8())
    if value == 255 { return nil }
    guard value < widthClasses else {
      throw .value(place, field: "width class", value: value, valid: 0...max(0, widthClasses - 1))
    }
    for point in weights.ratePoints where point.widths[value] > channels {
      throw .value(place, field: "width at a rate point", value: point.widths[value], valid: 1...channels)
    }
    return value
  }

  /// The index of an array of these dimensions.
  mutating func array(_ field: StaticString, _ dimensions: [Int]) throws(ModelError) -> Int {
    let value = try bytes.u32()
    guard value < UInt32(weights.arrays.count) else {
      throw .missingArray(place, field: field, index: Int64(value), count: weights.arrays.count)
    }
    let index = Int(value)
    guard weights.arrays[index].dimensions == dimensions else {
      throw .arrayShape(place, field: field, "of the shape that the layer asks for")
    }
    return index
  }

  func int16(_ field: StaticString, _ index: Int) throws(ModelError) -> FileArray<Int16> {
    guard case .i16(let elements) = weights.arrays[index].elements else {
      throw .arrayShape(place, field: field, "an array of i16")
    }
    return elements
  }

  func int32(_ field: StaticString, _ index: Int) throws(ModelError) -> FileArray<Int32> {
    guard case .i32(let elements) = weights.arrays[index].elements else {
      throw .arrayShape(place, field: field, "an array of i32")
    }
    return elements
  }

  func int8(_ field: StaticString, _ index: Int) throws(ModelError) -> FileArray<Int8> {
    guard case .i8(let elements) = weights.arrays[index].elements else {
      throw .arrayShape(place, field: field, "an array of i8")
    }
    return elements
  }

  func uint8(_ field: StaticString, _ index: Int) throws(ModelError) -> FileArray<UInt8> {
    guard case .u8(let elements) = weights.arrays[index].elements else {
      throw .arrayShape(place, field: field, "an array of u8")
    }
    return elements
  }

  /// The divisor of an output that is `factor` times coarser than its input.
  func coarser(_ input: TensorInfo, by factor: Int) throws(ModelError) -> Int {
    try checked("divisor of the output", input.divisor * factor, TensorInfo.divisors)
  }

  /// The divisor of an output that is `factor` times finer than its input.
  func finer(_ input: TensorInfo, by factor: Int) throws(ModelError) -> Int {
    guard input.divisor % factor == 0 else {
      throw .shape(place, "the input's divisor is not a whole multiple of the factor that the layer enlarges by")
    }
    return input.divisor / factor
  }

  /// Inputs that are brought to the smallest q of all, which is the output's.
  func checkAlignment(_ layer: LayerHeader) throws(ModelError) {
    let smallest = layer.inputs.reduce(64) { min($0, $1.q) }
    guard layer.q == smallest else { throw .value(place, field: "q", value: layer.q, valid: smallest...smallest) }
    for input in layer.inputs where input.q - layer.q > 15 {
      throw .value(place, field: "q of an input", value: input.q, valid: layer.q...(layer.q + 15))
    }
  }
}
