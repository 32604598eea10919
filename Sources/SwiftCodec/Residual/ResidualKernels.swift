// SPDX-License-Identifier: BSD-3-Clause
//
// The border to the C kernels of the residual layer.
internal import CCodecKernels

enum ResidualMode: Int32 {
  case predictive = 0
  case pattern = 1
  /// Needs a base and a mask.
  case masked = 2
}

extension ResidualLayout.Group {
  /// The kernels' view of the group in samples; `base` is the base picture's samples.
  private func view(
    _ samples: UnsafeMutablePointer<UInt8>, base: UnsafePointer<UInt8>?, maximumError: Int
  ) -> sc_residual_group {
    var group = sc_residual_group()
    group.width = Int32(width)
    group.height = Int32(height)
    group.components = Int32(first.count)
    group.delta = Int32(maximumError)
    group.samples.0 = samples + first[0]
    if first.count > 1 { group.samples.1 = samples + first[1] }
    if first.count > 2 { group.samples.2 = samples + first[2] }
    if let base {
      group.base.0 = base + first[0]
      if first.count > 1 { group.base.1 = base + first[1] }
      if first.count > 2 { group.base.2 = base + first[2] }
    }
    group.step = step
    group.pitch = pitch
    return group
  }

  /// A payload of the group; nil if the mode does not suit it.
  ///
  /// `mask` and `costs` have an element for each block of the group: which ones the masked mode codes, and where patterns
  /// write what it took, in 1/1024 bits.
  func encode(
    _ samples: UnsafePointer<UInt8>, base: UnsafePointer<UInt8>?, maximumError: Int, mode: ResidualMode, effort: Int,
    mask: [UInt8]? = nil, costs: UnsafeMutablePointer<UInt32>? = nil
  ) -> [UInt8]? {
    // The encoder reads the samples only.
    var group = view(UnsafeMutablePointer(mutating: samples), base: base, maximumError: maximumError)
    group.costs = costs
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: sc_residual_encode_memory(&group, mode.rawValue), alignment: 64)
    defer { memory.deallocate() }
    let bound = sc_residual_payload_bound(&group)
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: bound)
    defer { out.deallocate() }
    let size = (mask ?? []).withUnsafeBufferPointer {
      group.mask = mask == nil ? nil : $0.baseAddress
      return sc_residual_encode(&group, mode.rawValue, Int32(effort), memory, out, bound)
    }
    return size == 0 ? nil : [UInt8](UnsafeBufferPointer(start: out, count: size))
  }

  /// Decodes a payload into the group's samples; false if it is damaged.
  func decode(
    _ payload: UnsafeBufferPointer<UInt8>, into samples: UnsafeMutablePointer<UInt8>, base: UnsafePointer<UInt8>?,
    maximumError: Int
  ) -> Bool {
    guard let bytes = payload.baseAddress, payload.count > 0 else { return false }
    var group = view(samples, base: base, maximumError: maximumError)
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: sc_residual_decode_memory(&group, Int32(bytes[0])), alignment: 64)
    defer { memory.deallocate() }
    return sc_residual_decode(&group, bytes, payload.count, memory) == 0
  }
}
