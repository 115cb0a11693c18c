# The install component of one driver's files.
function(magnum_files_component ret name)
  if(name STREQUAL shared)
    set(${ret} common PARENT_SCOPE)
  else()
    set(${ret} plugins-${name} PARENT_SCOPE)
  endif()
endfunction()

# magnum_heat_files(name dir): the Heat templates (*.yaml) of one driver ("shared": of all), installed
# under the data directory and, in the build tree, where the driver host looks from its own place.
function(magnum_heat_files name dir)
  magnum_files_component(component ${name})
  file(GLOB templates CONFIGURE_DEPENDS ${dir}/*.yaml)
  foreach(f IN LISTS templates)
    get_filename_component(base ${f} NAME)
    configure_file(${f} ${CMAKE_BINARY_DIR}/share/magnum/heat/${name}/${base} COPYONLY)
  endforeach()
  install(FILES ${templates} DESTINATION ${CMAKE_INSTALL_DATADIR}/magnum/heat/${name}
          COMPONENT ${component})
endfunction()

# magnum_boot_files(name dir): what nodes of one driver are given for their first boot ("shared": of
# all), the same way. FILES in the folder says which goes where.
function(magnum_boot_files name dir)
  magnum_files_component(component ${name})
  file(GLOB_RECURSE files RELATIVE ${dir} CONFIGURE_DEPENDS ${dir}/*)
  foreach(f IN LISTS files)
    get_filename_component(folder ${f} DIRECTORY)
    configure_file(${dir}/${f} ${CMAKE_BINARY_DIR}/share/magnum/boot/${name}/${f} COPYONLY)
    set(kind FILES)
    file(READ ${dir}/${f} beginning LIMIT 3)
    if(beginning MATCHES "^#!/")
      set(kind PROGRAMS)
    endif()
    install(${kind} ${dir}/${f} COMPONENT ${component}
            DESTINATION ${CMAKE_INSTALL_DATADIR}/magnum/boot/${name}/${folder})
  endforeach()
endfunction()
