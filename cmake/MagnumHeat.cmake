# magnum_heat_files(name dir): the Heat templates (*.yaml) of one driver ("shared": of all), installed
# under the data directory and, in the build tree, where the driver host looks from its own place.
function(magnum_heat_files name dir)
  file(GLOB templates CONFIGURE_DEPENDS ${dir}/*.yaml)
  foreach(f IN LISTS templates)
    get_filename_component(base ${f} NAME)
    configure_file(${f} ${CMAKE_BINARY_DIR}/share/magnum/heat/${name}/${base} COPYONLY)
  endforeach()
  install(FILES ${templates} DESTINATION ${CMAKE_INSTALL_DATADIR}/magnum/heat/${name})
endfunction()
