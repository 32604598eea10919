// SPDX-License-Identifier: BSD-3-Clause

/// The residual layer: a picture's samples, exactly or with a bounded error, alone or on top of a base picture that the
/// decoder has, too. docs/format/residual.md defines the bytes.
public enum ResidualCodec {
  /// Largest error that can be asked for.
  public static let maximumErrors = 0...15
  /// Effort of the encoder: how many predictors it fits, and how carefully.
  public static let efforts = 0...2

  /// How to encode.
  public struct Settings: Sendable {
    /// No decoded sample differs by more: 0 (lossless) … 15.
    public var maximumError = 0
    /// 0 (fast) … 2 (smallest).
    public var effort = 1
    /// Pixels of a segment, about; 0 lets the encoder choose. Small segments decode on more threads and take more
    /// bytes.
    public var segmentPixels = 0

    /// Lossless, at middle effort.
    public init() {}
  }

  /// The default size of segments that predictors are fitted to.
  private static let predictivePixels = 1 << 18
  /// The default size of segments of patterns, which are learnt on the way.
  private static let patternPixels = 1 << 21

  /// The bytes of a residual layer that turn `base` (of the same size and format, or nil for none) into `picture`.
  ///
  /// The same on every machine and with any number of threads.
  public static func encode(
    _ picture: Picture, base: Picture? = nil, settings: Settings = Settings(), execution: Execution = Execution()
  ) -> [UInt8] {
    precondition(maximumErrors ~= settings.maximumError && efforts ~= settings.effort && settings.segmentPixels >= 0)
    if let base {
      precondition(base.width == picture.width && base.height == picture.height && base.format == picture.format)
    }
    func layout(_ pixels: Int) -> ResidualLayout {
      ResidualLayout(picture, pixels: settings.segmentPixels > 0 ? settings.segmentPixels : pixels)
    }
    let coarse = layout(patternPixels)
    let patterns = payloads(picture, nil, coarse, .pattern, settings, execution)
    // Nothing of what a camera saw is as small as that.
    if let patterns, 32 * totalSize(patterns) < picture.samples.count {
      return write(coarse, patterns, settings.maximumError, hasBase: base != nil)
    }
    let fine = layout(predictivePixels)
    guard var best = payloads(picture, base, fine, .predictive, settings, execution) else {
      preconditionFailure("the predictive mode codes everything")
    }
    guard let patterns else { return write(fine, best, settings.maximumError, hasBase: base != nil) }
    // A page with a photograph on it: each segment as it likes.
    if totalSize(patterns) < 2 * totalSize(best) {
      let others = fine.rows == coarse.rows ? patterns : payloads(picture, nil, fine, .pattern, settings, execution)
      if let others {
        for i in best.indices where others[i].count < best[i].count { best[i] = others[i] }
      }
    }
    return totalSize(patterns) < totalSize(best)
      ? write(coarse, patterns, settings.maximumError, hasBase: base != nil)
      : write(fine, best, settings.maximumError, hasBase: base != nil)
  }

  /// Bits that patterns take for each block of a picture of one plane, row by row, in 1/1024 bits; nil for one that they do
  /// not suit.
  static func patternCosts(_ picture: Picture, execution: Execution) -> [UInt32]? {
    var costs = [UInt32](repeating: 0, count: BlockMask(width: picture.width, height: picture.height).isCoded.count)
    let layout = ResidualLayout(picture, pixels: patternPixels)
    let coded = costs.withUnsafeMutableBufferPointer {
      payloads(picture, nil, layout, .pattern, Settings(), execution, costs: $0.baseAddress)
    }
    return coded == nil ? nil : costs
  }

  /// The bytes of a layer that gives the blocks of a mask exactly and leaves the others to the base; nil for a picture that
  /// patterns do not suit. Of a picture of one plane.
  static func encode(
    _ picture: Picture, base: Picture, coded mask: BlockMask, execution: Execution
  ) -> [UInt8]? {
    let layout = ResidualLayout(picture, pixels: patternPixels)
    let masks = (0..<layout.segments).map { i in
      Array(mask.isCoded.dropFirst(i * layout.blocksOfSegment).prefix(layout.blocksOfSegment))
    }
    return payloads(picture, base, layout, .masked, Settings(), execution, masks: masks)
      .map { write(layout, $0, 0, hasBase: true, isMasked: true) }
  }

  /// The bytes of a layer that turns the motion-compensated frame before into a frame: as `encode`, or, where much is as it
  /// was, of the blocks that are not.
  static func encode(
    _ frame: Picture, predicted: Picture, settings: Settings, execution: Execution
  ) -> [UInt8] {
    let layout = ResidualLayout(frame, pixels: patternPixels)
    let masks = (0..<layout.segments * layout.groups).map { i in
      changed(
        frame, predicted, layout.group(i % layout.groups, segment: i / layout.groups), settings.maximumError)
    }
    let blocks = masks.reduce(0) { $0 + $1.count }
    let coded = masks.reduce(0) { $0 + $1.reduce(0) { $0 + Int($1) } }
    guard 8 * coded <= 7 * blocks,
      let payloads = payloads(frame, predicted, layout, .masked, Settings(), execution, masks: masks)
    else { return encode(frame, base: predicted, settings: settings, execution: execution) }
    let masked = write(layout, payloads, 0, hasBase: true, isMasked: true)
    if 32 * masked.count < frame.samples.count { return masked }
    let whole = encode(frame, base: predicted, settings: settings, execution: execution)
    return masked.count <= whole.count ? masked : whole
  }

  /// 1 for each block of a group of which a sample is off by more than `maximumError`.
  private static func changed(
    _ frame: Picture, _ predicted: Picture, _ group: ResidualLayout.Group, _ maximumError: Int
  ) -> [UInt8] {
    var mask = BlockMask(width: group.width, height: group.height)
    frame.samples.withUnsafeBufferPointer { frame in
      predicted.samples.withUnsafeBufferPointer { predicted in
        func isChanged(_ rows: Range<Int>, _ columns: Range<Int>) -> Bool {
          for first in group.first {
            for y in rows {
              for x in columns {
                let i = first + y * group.pitch + x * group.step
                if abs(Int(frame[i]) - Int(predicted[i])) > maximumError { return true }
              }
            }
          }
          return false
        }
        for block in mask.isCoded.indices {
          let (y, x) = (block / mask.across * BlockMask.side, block % mask.across * BlockMask.side)
          let rows = y..<min(group.height, y + BlockMask.side)
          let columns = x..<min(group.width, x + BlockMask.side)
          mask.isCoded[block] = isChanged(rows, columns) ? 1 : 0
        }
      }
    }
    return mask.isCoded
  }

  /// The largest error of a layer's samples, by its first byte; nil if it leaves some to its base.
  package static func maximumError(firstByte: UInt8) -> Int? { firstByte & 32 == 0 ? Int(firstByte & 15) : nil }

  /// Decodes a residual layer.
  ///
  /// Width and height are 1…65535; the caller has made sure that so many pixels are welcome. `base` is the picture that
  /// the layer was coded on, nil for a layer that is alone.
  public static func decode(
    _ bytes: [UInt8], in range: Range<Int>? = nil, base: Picture? = nil, width: Int, height: Int, format: PixelFormat,
    execution: Execution = Execution()
  ) throws(ResidualError) -> Picture {
    try bytes.withUnsafeBufferPointer { bytes throws(ResidualError) in
      try decode(
        bytes, in: range ?? bytes.indices, base: base, width: width, height: height, format: format,
        execution: execution)
    }
  }

  private static func decode(
    _ bytes: UnsafeBufferPointer<UInt8>, in range: Range<Int>, base: Picture?, width: Int, height: Int,
    format: PixelFormat, execution: Execution
  ) throws(ResidualError) -> Picture {
    for (side, name) in [(width, "width" as StaticString), (height, "height")] {
      guard 1...65535 ~= side else { throw .value(field: name, value: side, valid: 1...65535) }
    }
    var reader = ByteReader<ResidualError>(bytes, in: range) { _ in .truncated }
    let flags = Int(try reader.u8())
    guard flags < 64 else { throw .value(field: "flags", value: flags, valid: 0...63) }
    let (maximumError, hasBase, isMasked) = (flags & 15, flags & 16 != 0, flags & 32 != 0)
    guard hasBase == (base != nil) else { throw .base(expected: hasBase) }
    guard hasBase || !isMasked else { throw .base(expected: true) }
    if let base, base.width != width || base.height != height || base.format != format { throw .base(expected: true) }
    let most = ResidualLayout.mostRows(width: width)
    guard let units = try reader.varint() else { throw .truncated }
    let valid = 1...(most / ResidualLayout.rowUnit)
    guard valid ~= units else { throw .value(field: "rows of a segment, in 16", value: units, valid: valid) }
    let layout = ResidualLayout(
      width: width, height: height, format: format, rows: units * ResidualLayout.rowUnit)
    let count = layout.segments * layout.groups
    var sizes: [Int] = []
    sizes.reserveCapacity(count)
    for _ in 0..<count {
      guard let size = try reader.varint() else { throw .truncated }
      sizes.append(size)
    }
    var ranges: [Range<Int>] = []
    for size in sizes { ranges.append(try reader.range(count: size)) }
    guard reader.isAtEnd else { throw .truncated }

    var picture = Picture(
      unchecked: width, height, format,
      [UInt8](repeating: 0, count: format.sampleCount(width: width, height: height)))
    var isGood = [Bool](repeating: false, count: count)
    picture.samples.withUnsafeMutableBufferPointer { samples in
      withSamples(of: base) { base in
        isGood.withUnsafeMutableBufferPointer { isGood in
          let (samples, isGood) = (samples.baseAddress!, isGood.baseAddress!)
          parallel(threads: execution.threads, count: count) { i in
            let group = layout.group(i % layout.groups, segment: i / layout.groups)
            let payload = UnsafeBufferPointer(rebasing: bytes[ranges[i]])
            if !isMasked, let mode = payload.first, mode == ResidualMode.masked.rawValue { return }
            isGood[i] = group.decode(payload, into: samples, base: base, maximumError: maximumError)
          }
        }
      }
    }
    for i in 0..<count where !isGood[i] {
      throw .payload(segment: i / layout.groups, group: i % layout.groups)
    }
    return picture
  }

  private static func withSamples(of picture: Picture?, _ body: (UnsafePointer<UInt8>?) -> Void) {
    guard let picture else { return body(nil) }
    picture.samples.withUnsafeBufferPointer { body($0.baseAddress) }
  }

  private static func totalSize(_ payloads: [[UInt8]]) -> Int { payloads.reduce(0) { $0 + $1.count } }

  /// The payloads of all groups of all segments in one mode; nil if it does not suit one of them.
  private static func payloads(
    _ picture: Picture, _ base: Picture?, _ layout: ResidualLayout, _ mode: ResidualMode, _ settings: Settings,
    _ execution: Execution, masks: [[UInt8]]? = nil, costs: UnsafeMutablePointer<UInt32>? = nil
  ) -> [[UInt8]]? {
    let blocksOfSegment = layout.blocksOfSegment
    let count = layout.segments * layout.groups
    var payloads = [[UInt8]](repeating: [], count: count)
    picture.samples.withUnsafeBufferPointer { samples in
      withSamples(of: base) { base in
        payloads.withUnsafeMutableBufferPointer { payloads in
          let (samples, payloads) = (samples.baseAddress!, payloads.baseAddress!)
          parallel(threads: execution.threads, count: count) { i in
            let group = layout.group(i % layout.groups, segment: i / layout.groups)
            payloads[i] =
              group.encode(
                samples, base: base, maximumError: settings.maximumError, mode: mode, effort: settings.effort,
                mask: masks?[i], costs: costs.map { $0 + i * blocksOfSegment }) ?? []
          }
        }
      }
    }
    return payloads.contains { $0.isEmpty } ? nil : payloads
  }

  private static func write(
    _ layout: ResidualLayout, _ payloads: [[UInt8]], _ maximumError: Int, hasBase: Bool, isMasked: Bool = false
  ) -> [UInt8] {
    var writer = ByteWriter()
    writer.u8(UInt8(maximumError | (hasBase ? 16 : 0) | (isMasked ? 32 : 0)))
    writer.varint(layout.rows / ResidualLayout.rowUnit)
    for payload in payloads { writer.varint(payload.count) }
    for payload in payloads { writer.append(payload) }
    return writer.bytes
  }
}
